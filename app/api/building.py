"""Puts routes, guards and the description together: one application from its parts."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse

from app.api import problems
from app.api.bodies import Alive
from app.api.description import describe_api
from app.api.envelope import Envelope
from app.api.parts import ApiParts
from app.api.routes import dead_letters, exceptions, runs, standing
from app.api.routes.describing import answers

VERSION: Final = "1.0.0"
"""Of the interface: it only grows."""


def build_api(parts: ApiParts) -> FastAPI:
    """The application. It holds nothing: any number of them may run."""
    app = FastAPI(
        title="driftwatch",
        version=VERSION,
        summary="What drifted, since when, and what was done about it",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.parts = parts
    public = APIRouter(prefix="/api/reconciliation", tags=["reconciliation"])
    admin = APIRouter(prefix="/api/admin/reconciliation", tags=["administration"])
    runs.register(public, admin)
    exceptions.register(admin)
    standing.register(admin)
    dead_letters.register(admin)
    app.include_router(public)
    app.include_router(admin)
    app.get("/healthz", tags=["process"], summary="Is the process alive?", **answers())(read_alive)
    app.get("/openapi.json", include_in_schema=False)(read_description)
    problems.register(app)
    app.add_middleware(Envelope, guards=parts.guards)
    return app


async def read_alive() -> Alive:
    """Needs no key, and asks nobody."""
    return Alive()


async def read_description(request: Request) -> JSONResponse:
    """The document that describes all this."""
    return JSONResponse(describe_api(request.app))

"""Exceptions: one for each episode of drift, and what people say about them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from app.api.bodies import (
    DERIVED_ID,
    EXAMPLE_ID,
    ExceptionDetail,
    ExceptionPage,
    ExceptionSummary,
    Resolve,
    exception_fields,
)
from app.api.keys import Caller
from app.api.paging import Exceptions, cut
from app.api.parts import ApiParts, Operating, Parts, Viewing
from app.api.problems import Kind, Refusal, not_found
from app.api.routes.describing import READING, WRITING, answers
from app.cases import Outcome, Resolution, to_time

ExceptionId = Annotated[str, Path(pattern=DERIVED_ID, description="of an episode", examples=[EXAMPLE_ID])]


def register(admin: APIRouter) -> None:
    """Add the routes."""
    listing = answers(*READING, Kind.INVALID)
    admin.get("/exceptions", summary="Exceptions, the newest first", **listing)(list_exceptions)
    one = answers(*READING, Kind.NOT_FOUND, Kind.INVALID)
    admin.get("/exceptions/{id}", summary="One exception, with its trace", **one)(read_exception)
    writing = answers(*WRITING, Kind.NOT_FOUND, Kind.CONFLICT)
    admin.put("/exceptions/{id}/resolve", summary="Say that it was dealt with", **writing)(resolve)


async def list_exceptions(parts: Parts, caller: Viewing, query: Exceptions) -> ExceptionPage:
    """By creation. Every filter narrows the list."""
    page = query.page()
    rows = await parts.records.list_exceptions(query.wanted(caller.scope), page)
    shown, behind = cut(rows, page, "created_at", "id")
    items = [ExceptionSummary.model_validate(exception_fields(row)) for row in shown]
    return ExceptionPage(items=items, next=behind)


async def read_exception(parts: Parts, caller: Viewing, id: ExceptionId) -> ExceptionDetail:
    """The episode as its last transition left it."""
    return await _read(parts, caller, id)


async def resolve(parts: Parts, caller: Operating, id: ExceptionId, said: Resolve) -> ExceptionDetail:
    """Holds until the episode's next transition: drift that lasts comes back. Only evidence closes the
    episode itself."""
    now = to_time(parts.clock.now_us())
    resolution = Resolution(said.resolved_by, said.notes, caller.name, now, said.sequence)
    outcome = await parts.records.resolve(caller.scope, id, resolution)
    if outcome is Outcome.UNKNOWN:
        raise not_found("exception")
    if outcome is Outcome.CLOSED:
        raise Refusal(Kind.CONFLICT, "evidence has resolved this exception already")
    if outcome is Outcome.MOVED:
        raise Refusal(Kind.CONFLICT, "it has had another transition since: look at it again")
    return await _read(parts, caller, id)


async def _read(parts: ApiParts, caller: Caller, id: str) -> ExceptionDetail:
    row = await parts.records.find_exception(caller.scope, id)
    if row is None:
        raise not_found("exception")
    return ExceptionDetail.model_validate(exception_fields(row))

"""Every answer that is no success: one form (RFC 9457), a closed list of kinds, nothing of the inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from math import ceil
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from app.errors import DriftwatchError, Fatal, Transient
from app.telemetry import get_logger

log = get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 5.0
_MOST_FAULTS: Final = 20


class Kind(Enum):
    """Status and title of every problem there is; its type is `urn:driftwatch:problem:<name>`."""

    UNAUTHENTICATED = (401, "A valid key is needed in X-API-Key")
    FORBIDDEN = (403, "This key's role is not enough")
    NOT_FOUND = (404, "There is no such thing")
    METHOD_NOT_ALLOWED = (405, "This method is not allowed here")
    CONFLICT = (409, "It is not as the request takes it to be")
    TOO_LARGE = (413, "The request is too large")
    INVALID = (422, "The request is not what the description says")
    TOO_MANY = (429, "Too many requests")
    INTERNAL = (500, "Something went wrong here")
    UNAVAILABLE = (503, "It cannot be reached at the moment")

    @property
    def status(self) -> int:
        return self.value[0]

    @property
    def title(self) -> str:
        return self.value[1]

    @property
    def is_documented(self) -> bool:
        """Does a route name it among its answers? 405 is for what is no route; 500 never happens."""
        return self in _DESCRIPTIONS

    @staticmethod
    def of(status: int) -> Kind:
        """The kind with this status; INTERNAL where there is none."""
        return next((kind for kind in Kind if kind.status == status), Kind.INTERNAL)

    @property
    def urn(self) -> str:
        return f"urn:driftwatch:problem:{self.name.lower().replace('_', '-')}"


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(description="such as query.limit or body.notes")
    what: str


class Problem(BaseModel):
    """An answer that is no success (RFC 9457)."""

    type: str = Field(description="urn:driftwatch:problem:…, from a closed list")
    title: str
    status: int
    detail: str | None = Field(default=None, description="what this request met; never a stack trace")
    request_id: str | None = Field(default=None, description="as in X-Request-Id")
    errors: list[Fault] | None = Field(default=None, description="what is wrong with the request, one by one")


@dataclass
class Refusal(Exception):
    """Ends the request with this problem. `retry_after_s` becomes Retry-After, in whole seconds, 1 at
    least."""

    kind: Kind
    detail: str | None = None
    retry_after_s: float | None = None
    errors: Sequence[Fault] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def answer(self, request_id: str | None) -> Response:
        """The response."""
        problem = Problem(
            type=self.kind.urn,
            title=self.kind.title,
            status=self.kind.status,
            detail=self.detail,
            request_id=request_id,
            errors=list(self.errors) or None,
        )
        headers = dict(self.headers)
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, ceil(self.retry_after_s)))
        body = problem.model_dump(mode="json", exclude_none=True)
        return JSONResponse(body, self.kind.status, headers, media_type=MEDIA_TYPE)


def refusal_of(error: DriftwatchError) -> Refusal:
    """What a failure of ours is to whoever asked: their request was right, and may be right later. The
    cause may name hosts and stays in the log."""
    if isinstance(error, Transient):
        log.warning("A request could not be served", event_name="api_unavailable", reason=str(error))
        return Refusal(Kind.UNAVAILABLE, f"{error.operation} failed", error.retry_after_s or RETRY_AFTER_S)
    if isinstance(error, Fatal):
        log.error("A request could not be served", event_name="api_fatal", reason=str(error))
        return Refusal(Kind.UNAVAILABLE, f"{error.operation} failed: a person is needed", 60.0)
    log.error("A request failed", event_name="api_failed", reason=str(error))
    return Refusal(Kind.INTERNAL)


def not_found(what: str) -> Refusal:
    """The same for what there is not and for what the key may not see."""
    return Refusal(Kind.NOT_FOUND, f"no such {what}, or it is outside of this key's rules")


def register(app: FastAPI) -> None:
    """Answer every error of the framework and of ours in this form."""
    app.exception_handler(Refusal)(_refused)
    app.exception_handler(DriftwatchError)(_failed)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_http)


async def _refused(request: Request, error: Refusal) -> Response:
    return error.answer(request.state.request_id)


async def _failed(request: Request, error: DriftwatchError) -> Response:
    return refusal_of(error).answer(request.state.request_id)


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    faults = [_fault(each) for each in error.errors()[:_MOST_FAULTS]]
    return Refusal(Kind.INVALID, errors=faults).answer(request.state.request_id)


def _fault(error: Mapping[str, Any]) -> Fault:
    """Where, and what is allowed; never the value that was sent."""
    return Fault(where=".".join(str(part) for part in error["loc"]), what=str(error["msg"]))


async def _http(request: Request, error: HTTPException) -> Response:
    """What the framework refuses by itself: a path, a method, a body that is no text."""
    kind = Kind.INVALID if error.status_code == HTTPStatus.BAD_REQUEST else Kind.of(error.status_code)
    return Refusal(kind, headers=dict(error.headers or {})).answer(request.state.request_id)


_DESCRIPTIONS: Final = {
    Kind.UNAUTHENTICATED: "No key, or one that is unknown, expired or revoked",
    Kind.FORBIDDEN: "The key is good, its role is not enough",
    Kind.NOT_FOUND: "There is no such thing, or it is outside of the key's rules",
    Kind.CONFLICT: "It has changed since, or its state does not allow this",
    Kind.TOO_LARGE: "The request's body is larger than allowed",
    Kind.INVALID: "The request is not what this document says; `errors` names each fault",
    Kind.TOO_MANY: "Too many requests with this key; Retry-After says when",
    Kind.UNAVAILABLE: "The database or the broker cannot be reached; Retry-After says when to try again",
}
_WAITS: Final = (Kind.TOO_MANY, Kind.UNAVAILABLE)


def documented(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """The answers of a route for the description."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        headers: dict[str, Any] = dict(REQUEST_ID_HEADER)
        if kind in _WAITS:
            retry = {"type": "integer", "minimum": 1}
            headers["Retry-After"] = {"description": "seconds", "required": True, "schema": retry}
        found[kind.status] = {
            "description": _DESCRIPTIONS[kind],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            "headers": headers,
        }
    return found


REQUEST_ID_HEADER: Final[Mapping[str, Any]] = {
    "X-Request-Id": {
        "description": "the request's own id, or the one that came with it",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    }
}

"""How a route is described: its answers, each with its headers."""

from __future__ import annotations

from typing import Any, Final

from app.api.problems import REQUEST_ID_HEADER, Kind, documented

READING: Final = (Kind.UNAUTHENTICATED, Kind.TOO_MANY, Kind.UNAVAILABLE)
WRITING: Final = (*READING, Kind.FORBIDDEN, Kind.TOO_LARGE, Kind.INVALID)


def answers(*kinds: Kind, status: int = 200) -> dict[str, Any]:
    """Keyword arguments of a route: what it answers."""
    return {
        "status_code": status,
        "responses": {status: {"headers": dict(REQUEST_ID_HEADER)}, **documented(*kinds)},
    }

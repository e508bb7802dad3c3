"""The errors that a node answers."""

from __future__ import annotations

from typing import Any, Final

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
OVER_TIME: Final = -32001
QUEUE_FULL: Final = -32098


class Fault(Exception):
    """A JSON-RPC error: code, message and, where the server gives it, data."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data

    def as_json(self) -> dict[str, Any]:
        """The `error` member of an answer."""
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            body["data"] = self.data
        return body


class Undecodable(Exception):
    """Parameters of the wrong form; the text is that of Go's JSON decoder."""

    def as_fault(self) -> Fault:
        """How a method answers it."""
        return Fault(INVALID_PARAMS, "invalid parameters", str(self))

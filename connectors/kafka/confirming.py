"""`drift.requests`: the questions about suspects, shared by all sweepers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from app.detector.model import INFINITY
from app.rules.canonical import microseconds
from app.settings import Settings
from connectors.kafka.group import GroupReader
from schemas.topics import REQUESTS

_MOST: Final = 1000


class _NotBefore(msgspec.Struct):
    ledger: int | None = None


class _Request(msgspec.Struct):
    request: str
    rule: str = ""
    key: str = ""
    not_before: _NotBefore = msgspec.field(default_factory=_NotBefore)
    history_from: str | None = None


@dataclass(frozen=True, slots=True)
class ConfirmRequest:
    """A key to be read live: its entry at `ledger` or later. `asked_at`: when that was asked, µs;
    `history_from`: back to when it is wanted what the entry was, µs; INFINITY: not at all."""

    rule: str
    key: str
    ledger: int
    asked_at: int
    history_from: int = INFINITY


class ConfirmRequests(GroupReader):
    """A consumer group of its own takes this kind of request; `done` commits what `take` gave."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, "confirm", [settings.topic(REQUESTS)], fetch_max_wait_ms=50)

    async def take(self, within_s: float) -> list[ConfirmRequest]:
        """What has come, in order. Raises `Transient`."""
        return [asked for one in await self._poll(within_s, _MOST) if (asked := _read(one)) is not None]


def _read(record: Any) -> ConfirmRequest | None:
    """Other kinds, and what is no request at all (the other group counts it), are passed over."""
    try:
        found = msgspec.json.decode(record.value or b"{}", type=_Request)
    except msgspec.MsgspecError:
        return None
    if found.request != "confirm" or not found.rule or not found.key:
        return None
    history_from = None if found.history_from is None else microseconds(found.history_from)
    return ConfirmRequest(
        found.rule,
        found.key,
        found.not_before.ledger or 0,
        record.timestamp * 1000,
        INFINITY if history_from is None else history_from,
    )

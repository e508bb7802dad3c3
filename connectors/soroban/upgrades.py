"""Contracts that got other code: the host says so in an event of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from app.errors import Poison
from connectors.soroban import scval
from connectors.soroban.answers import Event

_NAME: Final = "executable_update"


class Upgrade(NamedTuple):
    """What a contract ran and what it runs now: the hash of the code in hex, None where it is not said."""

    contract: str
    ledger: int
    old: str | None
    new: str | None


def find_upgrades(events: Iterable[Event]) -> Iterator[Upgrade]:
    """The upgrades that these events tell of. A contract cannot forge them: the host alone writes events of
    the type `system`."""
    for event in events:
        if event.type != "system" or not event.topic:
            continue
        try:
            name, *executables = [scval.decode(topic) for topic in event.topic]
        except Poison:
            continue
        if name == {"symbol": _NAME}:
            old, new = ([*map(_hash_in, executables), None, None])[:2]
            yield Upgrade(event.contract_id, event.ledger, old, new)


def _hash_in(value: Any) -> str | None:
    """The first `bytes` in a decoded value."""
    if isinstance(value, dict):
        if isinstance(value.get("bytes"), str):
            return str(value["bytes"])
        value = list(value.values())
    found = (_hash_in(each) for each in value) if isinstance(value, list) else iter(())
    return next((each for each in found if each is not None), None)

"""Faults on demand: what a node does wrong on the next calls, told over `/_sim/set`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final


class Kind(StrEnum):
    """What goes wrong."""

    TOO_MANY = "429"
    UNAVAILABLE = "503"
    GATEWAY_TIMEOUT = "504"
    INTERNAL = "500_text"
    SLOW = "timeout"
    TRUNCATED = "truncated"
    NOT_JSON = "not_json"
    WRONG_ID = "wrong_id"
    OLD_SHAPE = "old_shape"
    OVER_TIME = "-32001"
    QUEUE_FULL = "-32098"
    BEHIND = "behind"
    STALE_ENTRIES = "stale_entries"


OF_TRANSPORT: Final = frozenset(
    {
        Kind.TOO_MANY,
        Kind.UNAVAILABLE,
        Kind.GATEWAY_TIMEOUT,
        Kind.INTERNAL,
        Kind.SLOW,
        Kind.TRUNCATED,
        Kind.NOT_JSON,
        Kind.WRONG_ID,
        Kind.OLD_SHAPE,
    }
)
"""These strike a whole HTTP request, the others one call."""
OF_VIEW: Final = frozenset({Kind.BEHIND, Kind.STALE_ENTRIES})
OF_CALL: Final = frozenset({Kind.OVER_TIME, Kind.QUEUE_FULL})


@dataclass(slots=True)
class ScriptedFault:
    """Strikes the next `times` calls of `method`; "": of any method; `times` None: until it is cleared.

    `retry_after` in seconds goes with 429 and 503, `ms` is how long a slow one takes, `ledgers` how far
    behind the node or its state is."""

    kind: Kind
    method: str = ""
    times: int | None = 1
    retry_after: float | None = None
    ms: int = 60_000
    ledgers: int = 1


@dataclass(slots=True)
class Script:
    """The faults to come, in the order in which they were told."""

    faults: list[ScriptedFault] = field(default_factory=list)

    def take(self, kinds: frozenset[Kind], methods: Iterable[str]) -> ScriptedFault | None:
        """The first fault of these kinds that strikes one of these methods; it is used up by one."""
        asked = set(methods)
        for each in self.faults:
            if each.kind in kinds and (not each.method or each.method in asked):
                if each.times is not None:
                    each.times -= 1
                    self.faults = [one for one in self.faults if one.times != 0]
                return each
        return None


def read_script(written: list[dict[str, Any]]) -> Script:
    """Raises ValueError or TypeError for what is no script."""
    return Script([ScriptedFault(**{**each, "kind": Kind(str(each["kind"]))}) for each in written])

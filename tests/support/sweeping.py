"""Both sides, the log and the verdicts in memory, for tests of sweeps; `happened` orders the calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.detector.model import ABSENT, EntryAsOf, RowAsOf, Rule, Seeded, Snapshot, Value
from app.errors import Transient
from app.readings import EntryPage, KeyPage, Place, RowPage
from app.rules import LoadedRule
from app.rules.canonical import microseconds

AT = 1_795_000_000_000_000


class HandClock:
    """Time passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now_us(self) -> int:
        return AT + int(self.passed * 1_000_000)

    def monotonic_s(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        self.passed += seconds


@dataclass
class Memory:
    """Rows are (key, value) in the order of their primary keys, from 1."""

    clock: HandClock
    rows: list[tuple[str, Value]] = field(default_factory=list)
    entries: dict[str, Value] = field(default_factory=dict)
    listed: Sequence[str] | None = ()
    episodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    happened: list[str] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    published: list[RowAsOf | EntryAsOf] = field(default_factory=list)
    seeded: list[Seeded] = field(default_factory=list)
    buried: list[Sequence[Mapping[str, Any]]] = field(default_factory=list)
    incidents: dict[str, dict[str, Any]] = field(default_factory=dict)
    repaired: int = 0
    verified: int | None = 1 << 60
    waiting: int = 0
    fails_at: str | None = None
    read_at: int = AT
    modified: int = -1

    def _note(self, what: str) -> None:
        self.happened.append(what)
        if self.fails_at is not None and what.startswith(self.fails_at):
            raise Transient("reading", what, "it is away")

    def _rows(self, loaded: LoadedRule, found: Sequence[tuple[int, str, Value]]) -> RowPage:
        self.read_at += 1
        snapshot = Snapshot(1, 1, frozenset())
        rows = [RowAsOf(loaded.rule.id, key, row, value, snapshot, self.read_at) for row, key, value in found]
        return RowPage(self.read_at, tuple(rows), None)

    async def read_page(
        self, loaded: LoadedRule, after: Place | None, size: int, until: Place | None = None
    ) -> RowPage:
        first = 0 if after is None else int(after[0])
        last = len(self.rows) if until is None else int(until[0])
        end = min(first + size, last)
        found = [(n + 1, *self.rows[n]) for n in range(first, end)]
        self._note("rows " + "".join(key for _, key, _ in found))
        page = self._rows(loaded, found)
        return RowPage(page.read_at, page.rows, (str(end),) if end < last else None)

    async def read_keys(self, loaded: LoadedRule, keys: Sequence[str]) -> RowPage:
        self._note("keys " + "".join(keys))
        found = [(n + 1, key, value) for n, (key, value) in enumerate(self.rows) if key in keys]
        page = self._rows(loaded, found)
        met = {key for _, key, _ in found}
        none = [
            RowAsOf(loaded.rule.id, key, None, ABSENT, Snapshot(1, 1, frozenset()), page.read_at)
            for key in keys
            if key not in met
        ]
        return RowPage(page.read_at, (*page.rows, *none), None)

    async def list_page(self, loaded: LoadedRule, first: int) -> KeyPage | None:
        self._note("list")
        return None if self.listed is None else KeyPage(tuple(self.listed), None)

    async def read(self, loaded: LoadedRule, keys: Sequence[str], at_least: int) -> EntryPage:
        self._note("entries " + "".join(keys))
        read = [
            EntryAsOf(loaded.rule.id, key, self.entries.get(key, ABSENT), self.modified, None, at_least, AT)
            for key in keys
        ]
        return EntryPage(AT, at_least, tuple(read))

    async def publish(self, rule: Rule, reads: Sequence[RowAsOf | EntryAsOf], run: str) -> None:
        self._note("publish " + "".join(read.key for read in reads))
        self.published += reads

    async def finish_side(self, seeded: Seeded, run: str) -> None:
        self._note(f"end {seeded.side}")
        self.seeded.append(seeded)

    async def tell_run(self, run: Mapping[str, object]) -> None:
        self.told.append(dict(run))

    async def followed_ledger(self) -> int | None:
        return 7

    async def open_episodes(self, rule: str) -> Mapping[str, Mapping[str, Any]]:
        return self.episodes

    async def forget_run(self, rule: str, run: str) -> None:
        self.told = [one for one in self.told if one["run"] != run]

    async def bury_run(self, run: Mapping[str, object], mismatches: Sequence[Mapping[str, Any]]) -> None:
        self.buried.append(mismatches)

    async def tell_incident(self, incident: Mapping[str, object]) -> None:
        self.incidents[str(incident["id"])] = dict(incident)

    # ---- what the workers and other sweepers told

    def verified_through(self, rule: str) -> int | None:
        return self.verified

    async def count_waiting(self) -> int:
        self._note("backlog")
        return self.waiting

    def count_repaired(self, rule: str, since: int, through: int) -> int:
        return self.repaired

    def runs(self, rule: str) -> list[Mapping[str, Any]]:
        newest = {one["run"]: one for one in self.told}
        return sorted(newest.values(), key=lambda run: microseconds(run["requested_at"]) or 0)

    def open_incidents(self, rule: str) -> list[Mapping[str, Any]]:
        return [one for one in self.incidents.values() if one["state"] == "open"]

"""Records and sweeps that live in memory: for the description of the API, and for whoever tries it out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.cases import (
    LARGEST_PAGE,
    Act,
    CaseStatus,
    History,
    KeyRecord,
    Outcome,
    Page,
    Resolution,
    Row,
    Scope,
    Standing,
    Wanted,
)

_OVER = ("done", "failed")


@dataclass(slots=True)
class MemoryRecords:
    """Rows by column name, as the recorder's tables have them; lists may be added to at any time."""

    episodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    transitions: list[Row] = field(default_factory=list)
    runs: list[Row] = field(default_factory=list)
    status: list[Row] = field(default_factory=list)
    dead_letters: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, KeyRecord] = field(default_factory=dict)
    audit: list[Act] = field(default_factory=list)
    _work: dict[str, tuple[int, Resolution]] = field(default_factory=dict)

    async def ping(self) -> None:
        """It is always there."""

    async def list_exceptions(self, wanted: Wanted, page: Page) -> Sequence[Row]:
        cases = (self._case(row) for row in self.episodes.values())
        return _page(
            (case for case in cases if _is_wanted(case, wanted, "created_at")), page, "created_at", "id"
        )

    async def find_exception(self, scope: Scope, episode: str) -> Row | None:
        row = self.episodes.get(episode)
        return None if row is None or not scope.covers(row["rule"]) else self._case(row)

    async def resolve(self, scope: Scope, episode: str, resolution: Resolution) -> Outcome:
        row = self.episodes.get(episode)
        if row is None or not scope.covers(row["rule"]):
            return Outcome.UNKNOWN
        if row["state"] != "open":
            return Outcome.CLOSED
        sequence = row["sequence"]
        if resolution.sequence not in (None, sequence):
            return Outcome.MOVED
        self._work[episode] = (sequence, resolution)
        detail = {"resolved_by": resolution.resolved_by, "notes": resolution.notes, "sequence": sequence}
        self.audit.append(Act(resolution.actor, "resolve", episode, resolution.at, detail))
        return Outcome.DONE

    async def list_runs(self, wanted: Wanted, page: Page) -> Sequence[Row]:
        found = (
            run for run in self.runs if _is_wanted({**run, "status": run["state"]}, wanted, "started_at")
        )
        return _page(found, page, "started_at", "run")

    async def find_run(self, scope: Scope, run: str) -> Row | None:
        return next((row for row in self.runs if row["run"] == run and scope.covers(row["rule"])), None)

    async def latest_runs(self, scope: Scope) -> Sequence[Row]:
        newest: dict[tuple[str, bool], Row] = {}
        for row in sorted(self.runs, key=lambda row: (row["started_at"], row["run"])):
            if row["kind"] == "sweep" and row["state"] != "merged" and scope.covers(row["rule"]):
                newest[row["rule"], row["state"] in _OVER] = row
        return list(newest.values())

    async def standing(self, scope: Scope) -> Standing:
        counts: dict[tuple[str, str, str], int] = {}
        for row in self.episodes.values():
            if row["state"] == "open" and scope.covers(row["rule"]):
                case = self._case(row)
                which = (case["rule"], case["severity"], case["status"])
                counts[which] = counts.get(which, 0) + 1
        names = ("rule", "severity", "status")
        return Standing(
            [row for row in self.status if scope.covers(row["rule"])],
            [dict(zip(names, which, strict=True)) | {"count": count} for which, count in counts.items()],
        )

    async def history(self, rule: str, key: str) -> History:
        cases = [
            self._case(row) for row in self.episodes.values() if (row["rule"], row["key"]) == (rule, key)
        ]
        found = [row for row in self.transitions if (row["rule"], row["key"]) == (rule, key)]
        found.sort(key=lambda row: (row["at"], row["episode"], row["sequence"]))
        page = Page(LARGEST_PAGE)
        transitions = [{**row, "id": row["ce_id"]} for row in found[-LARGEST_PAGE:]]
        return History(_page(cases, page, "created_at", "id"), transitions)

    async def list_dead_letters(self, wanted: Wanted, page: Page) -> Sequence[Row]:
        found = (row for row in self.dead_letters.values() if _is_wanted(row, wanted, "created_at"))
        return _page(found, page, "created_at", "id")

    async def find_dead_letters(self, scope: Scope, ids: Sequence[str]) -> Sequence[Row]:
        found = (self.dead_letters.get(one) for one in set(ids))
        return [row for row in found if row is not None and scope.covers(row["rule"])]

    async def mark_replayed(self, ids: Sequence[str], at: datetime) -> None:
        for one in ids:
            self.dead_letters[one]["replayed_at"] = at

    async def record(self, act: Act) -> None:
        self.audit.append(act)

    async def find_key(self, key_id: str) -> KeyRecord | None:
        return self.keys.get(key_id)

    def _case(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """An episode with the last word about it, as the database's view has it."""
        sequence, said = self._work.get(row["episode"], (None, None))
        status, resolved_at = CaseStatus.OPEN, None
        if row["state"] == "resolved":
            status, resolved_at = CaseStatus.RESOLVED, row["resolved_at"]
        elif said is not None and sequence == row["sequence"]:
            status, resolved_at = CaseStatus.BY_HAND, said.at
        return {
            **row,
            "id": row["episode"],
            "created_at": row["opened_at"],
            "status": status,
            "resolved_at": resolved_at,
            "work_by": None if said is None else said.resolved_by,
            "work_notes": None if said is None else said.notes,
            "work_actor": None if said is None else said.actor,
            "work_at": None if said is None else said.at,
        }


@dataclass(slots=True)
class MemorySweeps:
    """Keeps what was asked for."""

    asked: list[str] = field(default_factory=list)

    async def ask(self, rules: Sequence[str]) -> Mapping[str, str]:
        """Runs are numbered."""
        runs = {}
        for rule in rules:
            self.asked.append(rule)
            runs[rule] = f"{len(self.asked):032x}"
        return runs


def _is_wanted(row: Row, wanted: Wanted, at: str) -> bool:
    filters = ("rule", "key", "severity", "status", "kind")
    asked = {name: getattr(wanted, name) for name in filters}
    return (
        wanted.scope.covers(row["rule"])
        and all(value is None or row[name] == value for name, value in asked.items())
        and (wanted.since is None or row[at] >= wanted.since)
        and (wanted.until is None or row[at] < wanted.until)
    )


def _page(rows: Iterable[Row], page: Page, at: str, key: str) -> Sequence[Row]:
    found = sorted(rows, key=lambda row: (row[at], row[key]), reverse=True)
    if page.after is not None:
        place = (page.after.at, page.after.id)
        found = [row for row in found if (row[at], row[key]) < place]
    return found[: page.size]

"""How far each rule has been judged, what is open, and all that is known of one key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Path

from app.api.bodies import (
    RULE_ID,
    ExceptionSummary,
    KeyHistory,
    PartitionStatus,
    RuleStatus,
    Standings,
    Transition,
    exception_fields,
)
from app.api.parts import ApiParts, Parts, Viewing
from app.api.problems import Kind, Refusal, not_found
from app.api.routes.describing import READING, answers
from app.cases import CaseStatus, Row, to_time

RulePath = Annotated[str, Path(pattern=RULE_ID, description="of a rule")]
KeyPath = Annotated[str, Path(max_length=1024, description="as in the events, percent-encoded")]
_RISING: Final = ("live", "catching_up", "unverifiable", "blind", "parked")


def register(admin: APIRouter) -> None:
    """Add the routes."""
    admin.get("/status", summary="How far each rule is judged, and what is open", **answers(*READING))(
        read_standings
    )
    one = answers(*READING, Kind.NOT_FOUND, Kind.INVALID)
    admin.get("/keys/{rule}/{key:path}", summary="All that is known of one key", **one)(read_key)


async def read_standings(parts: Parts, caller: Viewing) -> Standings:
    """By the last record of each partition on `drift.status`."""
    found = await parts.records.standing(caller.scope)
    rules = {*parts.seen_by(caller), *(str(row["rule"]) for row in (*found.partitions, *found.open))}
    return Standings(
        rules=[
            _standing(
                parts,
                rule,
                [row for row in found.partitions if row["rule"] == rule],
                [row for row in found.open if row["rule"] == rule],
            )
            for rule in sorted(rules)
        ]
    )


def _standing(parts: ApiParts, rule: str, partitions: Sequence[Row], counts: Sequence[Row]) -> RuleStatus:
    told = [row["verified_through"] for row in partitions]
    is_known = len(told) >= parts.partitions and None not in told
    through = min(told) if is_known else None
    now = to_time(parts.clock.now_us())
    worst = max(partitions, key=lambda row: _rank(row["state"]), default=None)
    return RuleStatus(
        rule=rule,
        state="unknown" if worst is None else worst["state"],
        cause=None if worst is None else worst["cause"],
        verified_through=through,
        lag_seconds=None if through is None else round((now - through).total_seconds(), 3),
        open=_by_severity(counts),
        unresolved=_by_severity(row for row in counts if row["status"] == CaseStatus.OPEN),
        partitions=[PartitionStatus.model_validate(row) for row in partitions],
    )


def _rank(state: str) -> int:
    """A word of a later version is worse than those that are known."""
    return _RISING.index(state) if state in _RISING else len(_RISING)


def _by_severity(rows: Iterable[Row]) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        found[row["severity"]] = found.get(row["severity"], 0) + int(row["count"])
    return found


async def read_key(parts: Parts, caller: Viewing, rule: RulePath, key: KeyPath) -> KeyHistory:
    """Episodes and transitions that the recorder has kept; a key that never drifted has none."""
    if not caller.scope.covers(rule):
        raise not_found("rule")
    found = await parts.records.history(rule, key.replace("\x00", "\ufffd"))
    if not found.episodes and not found.transitions:
        raise Refusal(Kind.NOT_FOUND, "no drift of this key is recorded for this rule")
    return KeyHistory(
        rule=rule,
        key=key,
        episodes=[ExceptionSummary.model_validate(exception_fields(row)) for row in found.episodes],
        transitions=[Transition.model_validate(row) for row in found.transitions],
    )

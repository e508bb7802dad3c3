"""Rows as the recorder leaves them, for tests of whoever reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from app.detector.values import derive_id

NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)
CREDIT, ESCROW = "credit-line", "escrow-funded"


def minutes(count: float) -> datetime:
    """So long after noon."""
    return NOON + timedelta(minutes=count)


def id_of(*parts: object) -> str:
    """An id as the program derives them."""
    return derive_id("test", *parts)


def difference(field: str = "creditLimit", severity: str = "critical") -> dict[str, Any]:
    """One field that differs."""
    return {
        "field": field, "left": "1000", "right": "1500", "difference": "-500", "severity": severity,
        "since": "2026-08-01T12:00:00Z",
    }  # fmt: skip


def episode(key: str, at: float = 0.0, rule: str = CREDIT, **other: Any) -> dict[str, Any]:
    """An episode that is open since so many minutes after noon."""
    severity = other.get("severity", "critical")
    return {
        "episode": id_of(rule, key, at), "rule": rule, "rule_version": 1, "key": key, "severity": severity,
        "state": "open", "since": minutes(at), "opened_at": minutes(at), "resolved_at": None, "cause": None,
        "flaps": 0, "linked": None, "sequence": 0, "differences": [difference(severity=severity)],
        "trace": {"left": {"lsn": "1", "tx": 7, "at": "2026-08-01T12:00:00Z"}, "right": None},
        "confirmed": "live", "updated_at": minutes(at), **other,
    }  # fmt: skip


def transition(of: dict[str, Any], kind: str = "opened", at: float = 0.0) -> dict[str, Any]:
    """A transition of an episode, of its present sequence."""
    value = {"episode": of["episode"], "sequence": of["sequence"], "transition": kind, "key": of["key"]}
    return {
        "ce_id": id_of(of["episode"], of["sequence"], kind), "episode": of["episode"],
        "sequence": of["sequence"], "transition": kind, "rule": of["rule"], "rule_version": 1,
        "key": of["key"], "severity": of["severity"], "at": minutes(at), "confirmed": "live",
        "value": value, "headers": {},
    }  # fmt: skip


def run(number: int, rule: str = CREDIT, **other: Any) -> dict[str, Any]:
    """A sweep that is done: the `number`th minute after noon it began."""
    row: dict[str, Any] = {
        "rule": rule, "run": id_of("run", rule, number), "kind": "sweep", "state": "done",
        "started_at": minutes(number), "finished_at": minutes(number + 0.5), "checked": 10, "in_sync": 10,
        "drifting": 0, "in_flight": 0, "exempt": 0, "unverifiable": 0, "repaired": 0, "errors": 0,
        "attempts": 1, "cause": "schedule", **other,
    }  # fmt: skip
    return {**row, "value": {"rule": rule, "run": row["run"], "state": row["state"], "checked": 10}}


def status(partition: int, through: float | None = 0.0, rule: str = CREDIT, **other: Any) -> dict[str, Any]:
    """How far a rule is judged in a partition, in minutes after noon."""
    return {
        "rule": rule, "partition": partition,
        "verified_through": None if through is None else minutes(through),
        "state": "live", "cause": None, "open": {}, "keys": 5, "updated_at": minutes(0), **other,
    }  # fmt: skip


def dead_letter(number: int, kind: str = "run", rule: str | None = CREDIT, **other: Any) -> dict[str, Any]:
    """Something that was given up in that minute after noon."""
    return {
        "id": f"{kind}-{number}", "kind": kind, "rule": rule, "reference": id_of("run", rule, number),
        "reason": "the node does not answer", "payload": {"run": number}, "attempts": 3,
        "created_at": minutes(number), "replayed_at": None, "resolved_at": None, **other,
    }  # fmt: skip

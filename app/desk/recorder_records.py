"""What the recorder keeps of each record: rows by column name, read from the topics' messages (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
import orjson

from app.detector.values import derive_id, format_time
from app.errors import Poison
from app.ports import Record
from app.recording import Kept, Kind, Place, Row
from schemas.topics import EPISODES, MISMATCHES, STATUS

_MISMATCH: Final = "drift.mismatch."
_ERRORS: Final = "__drift.errors."
_LONGEST_REASON: Final = 1000


@dataclass(frozen=True, slots=True)
class Skipped:
    """A record that is no row, and why."""

    cause: str


class _Mismatch(msgspec.Struct):
    episode: str
    sequence: int
    transition: Literal["opened", "updated", "resolved", "reopened"]
    rule: str
    rule_version: int
    key: str
    severity: Literal["low", "medium", "high", "critical"]
    since: str
    until: str | None
    differences: list[dict[str, Any]]
    flaps: int


class _Run(msgspec.Struct):
    rule: str
    run: str
    kind: Literal["sweep", "seed"]
    state: str
    started_at: str
    finished_at: str | None
    checked: int
    in_sync: int
    drifting: int
    in_flight: int
    exempt: int
    unverifiable: int
    repaired: int
    errors: int
    requested_at: str | None = None
    attempt: int = 1
    cause: str | None = None
    why: str | None = None


class _Watermarks(msgspec.Struct):
    left: str | None = None
    right: str | None = None


class _Status(msgspec.Struct):
    rule: str
    partition: int
    verified_through: str | None
    watermarks: _Watermarks
    clock_offset_ms: float | None
    state: str
    cause: str | None
    open: dict[str, int]
    keys: int
    unverifiable_keys: int | None
    updated_at: str


class _Incident(msgspec.Struct):
    id: str
    cause: str
    source: str | None
    rule: str | None
    from_: str | None = msgspec.field(name="from")
    until: str | None
    state: Literal["open", "closed"]
    detail: str


class _BuriedRun(msgspec.Struct):
    run: dict[str, Any]
    mismatches: list[dict[str, Any]]


def read_record(record: Record, prefix: str = "") -> Kept | Skipped:
    """The row of a record. Raises `Poison` for what its topic should not hold."""
    topic = record.topic.removeprefix(prefix)
    try:
        if topic in (MISMATCHES, EPISODES):
            return _read_mismatch(record)
        if topic == STATUS:
            return _read_status(record)
        return _read_dead_letter(record)
    except (msgspec.MsgspecError, KeyError, ValueError, RecursionError) as error:
        raise Poison("reading", name_of(record), f"{type(error).__name__}: {error}") from error


def name_of(record: Record) -> str:
    """Where it stands: `topic[partition]@offset`."""
    return f"{record.topic}[{record.partition}]@{record.offset}"


def _keep(record: Record, kind: Kind, identity: str, row: Row) -> Kept:
    return Kept(kind, identity, row, Place(record.topic, record.partition), record.offset, record.timestamp)


def _headers(record: Record) -> dict[str, str]:
    return {name: value.decode("utf-8", "replace") for name, value in record.headers or ()}


def _read_mismatch(record: Record) -> Kept | Skipped:
    if record.value is None:
        return Skipped("tombstone")
    headers = _headers(record)
    if not headers.get("ce_type", "").startswith(_MISMATCH):
        raise ValueError("ce_type names no mismatch event")
    found = msgspec.json.decode(record.value, type=_Mismatch)
    ce_id = headers["ce_id"]
    row = {
        "ce_id": ce_id,
        "episode": found.episode,
        "sequence": found.sequence,
        "transition": found.transition,
        "rule": found.rule,
        "rule_version": found.rule_version,
        "key": found.key,
        "severity": found.severity,
        "at": headers["ce_time"],
        "confirmed": headers.get("drift_confirmed"),
        "value": orjson.loads(record.value),
        "headers": headers,
    }
    return _keep(record, Kind.TRANSITIONS, ce_id, row)


def _read_status(record: Record) -> Kept | Skipped:
    kind = (record.key or b"").partition(b"|")[0]
    if kind not in (b"run", b"status", b"incident", b"chain"):
        raise ValueError("its key is none of status|…, run|…, incident|…, chain|…")
    if record.value is None:
        return Skipped("tombstone")
    if kind == b"run":
        return _read_run(record, record.value)
    if kind == b"status":
        return _read_standing(record, record.value)
    if kind == b"incident":
        return _read_incident(record, record.value)
    return Skipped("chain")


def _read_run(record: Record, body: bytes) -> Kept:
    found = msgspec.json.decode(body, type=_Run)
    row = msgspec.structs.asdict(found)
    row["attempts"] = row.pop("attempt")
    row["value"] = orjson.loads(body)
    return _keep(record, Kind.RUNS, f"{found.rule}|{found.run}", row)


def _read_standing(record: Record, body: bytes) -> Kept:
    found = msgspec.json.decode(body, type=_Status)
    row = msgspec.structs.asdict(found)
    del row["watermarks"]
    row["watermark_left"], row["watermark_right"] = found.watermarks.left, found.watermarks.right
    row["clock_offset"] = row.pop("clock_offset_ms")
    return _keep(record, Kind.STATUS, f"{found.rule}|{found.partition}", row)


def _read_incident(record: Record, body: bytes) -> Kept:
    found = msgspec.json.decode(body, type=_Incident)
    row = msgspec.structs.asdict(found)
    row["since"] = row.pop("from_")
    return _keep(record, Kind.INCIDENTS, found.id, row)


def _read_dead_letter(record: Record) -> Kept:
    why = {
        name.removeprefix(_ERRORS): text
        for name, text in _headers(record).items()
        if name.startswith(_ERRORS)
    }
    if why.get("stage") == "run" and record.value is not None:
        return _read_buried_run(record, record.value, why)
    origin = Place(why["topic"], int(why["partition"]))
    kept_at = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    reason = f"{why['class']} while {why['stage']}: {why['message']}"
    row = _letter(origin, int(why["offset"]), reason, kept_at)
    row["created_at"] = format_time(record.timestamp * 1000)
    return _keep(record, Kind.DEAD_LETTERS, str(row["id"]), row)


def _read_buried_run(record: Record, body: bytes, why: Mapping[str, str]) -> Kept:
    found = msgspec.json.decode(body, type=_BuriedRun)
    rule, run = str(found.run["rule"]), str(found.run["run"])
    identity = derive_id("run", rule, run)
    row = {
        "id": identity,
        "kind": "run",
        "rule": rule,
        "reference": run,
        "reason": why["message"],
        "payload": {"run": found.run, "mismatches": found.mismatches},
        "attempts": int(found.run["attempt"]),
        "created_at": format_time(record.timestamp * 1000),
    }
    return _keep(record, Kind.DEAD_LETTERS, identity, row)


def bury(place: Place, offset: int, timestamp_ms: int, reason: str) -> Kept:
    """A record of which nothing can be kept but where it stands, and why."""
    kept_at = {"topic": place.topic, "partition": place.partition, "offset": offset}
    row = _letter(place, offset, reason, kept_at) | {"created_at": format_time(timestamp_ms * 1000)}
    return Kept(Kind.DEAD_LETTERS, str(row["id"]), row, place, offset, timestamp_ms)


def _letter(origin: Place, offset: int, reason: str, kept_at: Row) -> dict[str, object]:
    """Never the record's bytes: nobody knows what is in them. They stand where `kept_at` says."""
    return {
        "id": derive_id("record", origin.topic, origin.partition, offset),
        "kind": "record",
        "rule": None,
        "reference": f"{origin.topic}[{origin.partition}]@{offset}",
        "reason": reason[:_LONGEST_REASON],
        "payload": kept_at,
        "attempts": 1,
    }

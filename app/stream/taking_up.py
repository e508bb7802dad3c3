"""Episodes taken up from `drift.episodes` by a partition that has no state: told before, to be told on."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any, TypeAlias

import orjson

from app.detector.timeline import EpisodeRecord
from app.ports import Record
from app.rules.canonical import microseconds
from app.stream.state import encode_record
from app.stream.work import Rows
from app.telemetry import get_logger

log = get_logger(__name__)

ReadEpisodes: TypeAlias = Callable[[int], AsyncIterator[Record]]
"""Every record of a partition of `drift.episodes` up to its present end, in order."""


async def take_up(records: AsyncIterable[Record], rules: set[str]) -> Rows:
    """The rows of `episodes` that these records make; the last record of a key counts. What no rule of ours
    told, and what is no episode, is left alone."""
    rows: Rows = {}
    async for record in records:
        key = record.key or b""
        if key.partition(b"|")[0].decode(errors="replace") not in rules:
            continue
        if record.value is None:
            rows.pop(key, None)
            continue
        try:
            rows[key] = encode_record(read_episode(record), None)
        except (ValueError, KeyError, TypeError) as error:
            log.warning("This is no episode", event_name="episode_refused", reason=repr(error))
    return rows


def read_episode(record: Record) -> EpisodeRecord:
    """The episode as it stands after the transition in a record. It has been judged up to the instant of
    that; whether its start was drift is not known any more, and is not asked again. Raises ValueError,
    KeyError and TypeError for what is none."""
    value: dict[str, Any] = orjson.loads(record.value or b"")
    headers = {name: text.decode() for name, text in record.headers or ()}
    since, until = _us(value["since"]), None if value["until"] is None else _us(value["until"])
    state = "resolved" if value["transition"] == "resolved" else "open"
    instant = _us(headers["ce_time"]) if "ce_time" in headers else max(since, until or since)
    found = EpisodeRecord(instant, state, str(value["episode"]), since)
    found.until, found.sequence, found.flaps = until, int(value["sequence"]) + 1, int(value["flaps"])
    found.last, found.severity = list(value["differences"]), str(value["severity"])
    found.confirmed, found.is_taken_up = headers.get("drift_confirmed", "off"), True
    return found


def _us(text: str) -> int:
    found = microseconds(text)
    if found is None:
        raise ValueError(f"{text} is no time")
    return found

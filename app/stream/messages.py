"""What is told to the outside, byte by byte: transitions, incidents, status, dead letters (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from app.detector.model import (
    INFINITY,
    Confirm,
    EpisodeForgotten,
    Gap,
    Incident,
    Resweep,
    Side,
    Transition,
    Unreadable,
)
from app.detector.trust import CLOCK, SCHEMA
from app.detector.values import derive_id, format_time
from app.detector.watermark import EPOCH_CAUSES
from app.errors import Poison
from app.ports import Record
from app.stream.work import Message
from schemas import topics

MISMATCH_SCHEMA: Final = "urn:driftwatch:schema:mismatch.v1"
_LONGEST_CAUSE: Final = 1000
MINUTE_US: Final = 60_000_000
DOUBTS: Final = (CLOCK, SCHEMA)
OWN_END: Final = (*DOUBTS, "parked")
"""Causes of incidents whose end the worker tells itself."""


@dataclass(frozen=True, slots=True)
class TopicNames:
    """The topics' names with the configured prefix."""

    prefix: str = ""

    def of(self, name: str) -> str:
        return self.prefix + name


def row_key(rule: str, key: str) -> bytes:
    """The key of a rule's key in tables and in `drift.mismatches`."""
    return f"{rule}|{key}".encode("utf-8", "surrogatepass")


def tell_transition(names: TopicNames, transition: Transition) -> list[Message]:
    """The event, and the episode as it stands after it."""
    value = transition.value
    key = row_key(str(value["rule"]), str(value["key"]))
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": transition.ce_id,
        "ce_source": f"/driftwatch/{value['rule']}",
        "ce_type": transition.ce_type,
        "ce_subject": str(value["key"]),
        "ce_time": transition.ce_time,
        "ce_dataschema": MISMATCH_SCHEMA,
        "content-type": "application/json",
    }
    headers = [
        (name, text.encode("utf-8", "surrogatepass"))
        for name, text in (attributes | transition.headers).items()
    ]
    body = orjson.dumps(value)
    return [
        Message(names.of(topics.MISMATCHES), key, body, headers),
        Message(names.of(topics.EPISODES), key, body, headers),
    ]


def tell_forgotten(names: TopicNames, forgotten: EpisodeForgotten) -> Message:
    """The episode is past `reopen`: nothing of it is kept."""
    return Message(names.of(topics.EPISODES), row_key(forgotten.rule, forgotten.key), None)


def tell_incident(names: TopicNames, incident: Incident, source: str | None) -> Message:
    """Input was lost or cannot be trusted; open while its end is not known, and, where a whole side is
    concerned, until a sweep has read the side again and closes it. Its id is that of its content, but that
    one of `OWN_END` keeps its id when it ends. What concerns a whole source is one incident however many
    partitions tell of it: each has its own `from`, so that is taken to the minute, or, where an epoch ended,
    the `until` is instead."""
    ends_itself = incident.cause in OWN_END
    is_open = incident.until_us is None or (incident.key is None and not ends_itself)
    content: dict[str, object] = {
        "cause": incident.cause,
        "source": source,
        "rule": incident.rule,
        "from": _time(incident.from_us),
        "until": None if incident.until_us is None else _time(incident.until_us),
        "state": "open" if is_open else "closed",
        "detail": incident.detail,
    }
    incident_id = derive_id(incident.cause, source, incident.rule, *_span_of(incident), incident.key)
    if incident.key is not None:
        content["key"] = incident.key
    return _status(names, f"incident|{incident_id}", {"id": incident_id, **content})


def _span_of(incident: Incident) -> tuple[object, object]:
    """(from, until) as far as all partitions see the same."""
    until = incident.until_us
    if incident.cause in EPOCH_CAUSES and until is not None:
        return None, until // MINUTE_US
    began = incident.from_us // MINUTE_US if incident.cause in DOUBTS else _time(incident.from_us)
    return began, None if until is None or incident.cause in OWN_END else _time(until)


def ask_sweep(names: TopicNames, incident: Incident) -> Message | None:
    """The request that a loss of input makes by itself; None for what concerns one entry only: a contract
    that tells of no change loses nothing."""
    is_proof = incident.cause == "continuity" and incident.side is Side.LEFT
    if incident.key is not None and not is_proof:
        return None
    if incident.cause == CLOCK or (incident.cause in OWN_END and incident.until_us is not None):
        return None
    run = derive_id("sweep", incident.rule, incident.cause, *_span_of(incident))
    body = {"request": "sweep", "rule": incident.rule, "run": run, "cause": incident.cause}
    return Message(names.of(topics.REQUESTS), incident.rule.encode(), orjson.dumps(body))


def ask_resweep(names: TopicNames, wanted: Resweep) -> Message:
    """The request of a sweep though no input is known to be lost."""
    run = derive_id("sweep", wanted.rule, wanted.cause, _time(wanted.at_us))
    body = {"request": "sweep", "rule": wanted.rule, "run": run, "cause": wanted.cause}
    return Message(names.of(topics.REQUESTS), wanted.rule.encode(), orjson.dumps(body))


def ask_confirm(names: TopicNames, confirm: Confirm) -> Message:
    """The request that both sides of a key be read live."""
    body = {
        "request": "confirm",
        "rule": confirm.rule,
        "key": confirm.key,
        "episode": confirm.episode,
        "not_before": {
            "at": _time(confirm.not_before_us),
            "ledger": max(confirm.not_before_ledger, 0),
        },
        "history_from": _time(confirm.history_from_us),
    }
    key = confirm.key.encode("utf-8", "surrogatepass")
    return Message(names.of(topics.REQUESTS), key, orjson.dumps(body))


def tell_status(names: TopicNames, rule: str, partition: int, status: Mapping[str, object]) -> Message:
    """How far a rule has been judged in a partition, and whether it goes on."""
    return _status(names, f"status|{rule}|{partition}", {"rule": rule, "partition": partition, **status})


def dead_letter(names: TopicNames, record: Record, poison: Poison, stage: str) -> Message:
    """The record as it came, and why no codec understands it."""
    why = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "stage": stage,
        "class": type(poison).__name__,
        "message": str(poison)[:_LONGEST_CAUSE],
    }
    headers = [
        (f"__drift.errors.{name}", str(text).encode("utf-8", "surrogatepass")) for name, text in why.items()
    ]
    return Message(
        names.of(topics.DEAD_LETTERS), record.key, record.value, [*(record.headers or ()), *headers]
    )


def broadcast_gap(names: TopicNames, gap: Gap, partition: int) -> Message:
    """A loss that one partition learned of and every partition must know."""
    body = {
        "gap": {
            "source": gap.source,
            "from": None if gap.from_us is None else _time(gap.from_us),
            "until": None if gap.until_us is None else _time(gap.until_us),
            "cause": gap.cause,
        }
    }
    return Message(names.of(topics.OBSERVATIONS), None, orjson.dumps(body), partition=partition)


def broadcast_unreadable(names: TopicNames, found: Unreadable, partition: int) -> Message:
    """That a table has not the form that a rule reads, for another partition."""
    body = {"rule": found.rule, "side": found.side, "at": _time(found.at), "detail": found.detail}
    return Message(names.of(topics.OBSERVATIONS), None, orjson.dumps({"schema": body}), partition=partition)


def show_time(us: int) -> str | None:
    """RFC 3339; None where it is no time."""
    return _time(us)


def _time(us: int) -> str | None:
    return None if abs(us) >= INFINITY else format_time(us)


def _status(names: TopicNames, key: str, value: Mapping[str, object]) -> Message:
    return Message(
        names.of(topics.STATUS),
        key.encode("utf-8", "surrogatepass"),
        orjson.dumps(value),
        [("content-type", b"application/json")],
    )

"""The life of an episode: turns of a key become transitions, whose payload is a pure function of the
histories."""

from __future__ import annotations

from app.detector.model import Field, Rule, Severity, Transition, Value
from app.detector.segments import EXISTENCE, Segment
from app.detector.timeline import EpisodeRecord, KeyState, MergedVersion, Piece
from app.detector.values import (
    conceal,
    derive_id,
    format_time,
    severity_of,
    show,
    show_difference,
)

RANK = {severity.value: rank for rank, severity in enumerate(Severity)}


def differences_of(rule: Rule, segment: Segment, told: list[dict[str, object]]) -> list[dict[str, object]]:
    """The fields in violation at a segment's start, in rule order, existence first.

    A difference that was told before, without a break, keeps its `since`. A side that is not present or not
    known shows null (existence shows `present`, `absent` or `duplicate`).
    """
    since = {str(difference["field"]): difference["since"] for difference in told}
    now = format_time(segment.start)
    left, right = segment.left[2], segment.right[2]
    found: list[dict[str, object]] = []
    if segment.mask & EXISTENCE:
        found.append(
            {
                "field": "existence",
                "left": _presence(left),
                "right": _presence(right),
                "difference": None,
                "severity": rule.existence_severity.value,
                "since": since.get("existence", now),
            }
        )
    if isinstance(left, tuple):
        for i, field in enumerate(rule.fields):
            if segment.mask >> i & 1:
                theirs = right[i] if isinstance(right, tuple) else None
                is_known = isinstance(right, tuple)
                found.append(
                    _difference(field, left[i], theirs, is_known) | {"since": since.get(field.name, now)}
                )
    return found


def _presence(value: Value) -> str | None:
    if isinstance(value, tuple):
        return "present"
    return value if value in ("absent", "duplicate") else None


def _difference(field: Field, left: object, right: object, is_known: bool) -> dict[str, object]:
    mine = left if isinstance(left, str | int | bool) else None
    theirs = right if isinstance(right, str | int | bool) else None
    return {
        "field": field.name,
        "left": conceal(field, show(field, mine)),
        "right": conceal(field, show(field, theirs)) if is_known else None,
        "difference": show_difference(field, mine, theirs) if is_known and field.sensitive is None else None,
        "severity": severity_of(field, mine, theirs).value,
    }


class Teller:
    """Writes the transitions of one rule and moves the episode records; knows no time but event time."""

    def __init__(self, rule: Rule, confirmed: str) -> None:
        self.rule, self.confirmed = rule, confirmed
        """How what is told next was confirmed."""
        self.decided = (0, 0, 0)
        """Decided through, left and right watermark (µs): the headers of what is told next."""

    def drifting(self, key: str, state: KeyState, segment: Segment) -> Transition | None:
        """Opened, reopened within `reopen` of the end, or updated where the differences are not the ones
        told."""
        record = state.record
        if record is not None and record.state == "open":
            found = differences_of(self.rule, segment, record.last)
            if found == record.last:
                return None
            record.confirmed = self.confirmed
            return self._tell(key, record, "updated", segment, found)
        checked = segment.start - self.rule.window.lag_us - self.rule.window.skew_us
        if self._reopens(record, segment.start) and record is not None:
            record.state, record.since, record.until = "open", segment.start, None
            record.flaps += 1
            record.is_doubted = record.is_taken_up = False
            record.confirmed, record.checked = self.confirmed, checked
            return self._tell(key, record, "reopened", segment, differences_of(self.rule, segment, []))
        episode = self.episode_at(key, state, segment.start)
        state.record = record = EpisodeRecord(segment.start, "open", episode, segment.start)
        record.confirmed, record.checked = self.confirmed, checked
        return self._tell(key, record, "opened", segment, differences_of(self.rule, segment, []))

    def is_news(self, record: EpisodeRecord | None, segment: Segment, before: Segment | None) -> bool:
        """Would an open episode be updated where the segment begins? `before`: the segment that is told just
        before it, where it is not the one told last."""
        last = [] if record is None else record.last
        told = last if before is None else differences_of(self.rule, before, [])
        return differences_of(self.rule, segment, told) != told

    def episode_at(self, key: str, state: KeyState, start: int) -> str:
        """The id of the episode to which a stretch belongs that begins then, or has not ended."""
        record = state.record
        if record is not None and (record.state == "open" or self._reopens(record, start)):
            return record.episode
        return derive_id(self.rule.id, key, start)

    def _reopens(self, record: EpisodeRecord | None, at: int) -> bool:
        return record is not None and record.until is not None and at - record.until <= self.rule.reopen_us

    def in_sync(self, key: str, state: KeyState, segment: Segment) -> Transition | None:
        """Resolved at the first instant known in sync; only evidence does this."""
        record = state.record
        if record is None:
            return None
        record.state, record.until, record.confirmed = "resolved", segment.start, self.confirmed
        return self._tell(key, record, "resolved", segment, [])

    def end(self, key: str, record: EpisodeRecord, segment: Segment) -> Transition:
        """The rule's version ends while the episode is open."""
        record.state, record.until = "resolved", segment.start
        told = self._tell(key, record, "resolved", segment, [])
        told.value["cause"] = "rule_changed"
        return told

    def _tell(
        self,
        key: str,
        record: EpisodeRecord,
        transition: str,
        segment: Segment,
        found: list[dict[str, object]],
    ) -> Transition:
        record.last = found
        if found:
            record.severity = max((str(difference["severity"]) for difference in found), key=RANK.__getitem__)
        cause = _cause_of(record, segment) if transition == "resolved" else None
        sequence = record.sequence
        record.sequence += 1
        value: dict[str, object] = {
            "episode": record.episode,
            "sequence": sequence,
            "transition": transition,
            "rule": self.rule.id,
            "rule_version": self.rule.version,
            "key": key,
            "severity": record.severity,
            "since": format_time(record.since),
            "until": None if record.until is None else format_time(record.until),
            "differences": found,
            "cause": cause,
            "flaps": record.flaps,
            "linked": _linked_of(segment.left),
            "trace": {"left": _left_trace(segment.left), "right": _right_trace(segment.right)},
        }
        decided, left, right = map(format_time, self.decided)
        headers = {
            "drift_decided_through": decided,
            "drift_watermark_left": left,
            "drift_watermark_right": right,
            "drift_confirmed": record.confirmed,
        }
        ce_id = derive_id(record.episode, sequence)
        return Transition(ce_id, f"drift.mismatch.{transition}", format_time(segment.start), headers, value)


def _cause_of(record: EpisodeRecord, segment: Segment) -> str:
    """Why an episode ended where the segment begins."""
    if record.is_doubted:
        return "input_lost"
    if segment.left[0] == segment.start:
        return "left_moved"
    return "exempted" if segment.mask else "right_moved"


def _linked_of(piece: Piece) -> object:
    return piece.trace[2] if piece.trace is not None else None


def _left_trace(piece: Piece) -> dict[str, object] | None:
    if piece.trace is None:
        return None
    at = piece.traced_at if isinstance(piece, MergedVersion) else piece.at
    return {"lsn": str(piece.trace[0]), "tx": piece.trace[1], "at": format_time(at)}


def _right_trace(piece: Piece) -> dict[str, object] | None:
    if piece.trace is None:
        return None
    return {
        "ledger": piece.position,
        "event_id": piece.trace[1],
        "tx": piece.trace[0],
        "at": format_time(piece.at),
    }

"""A replay line by line: what is read, refused, counted and written."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest

from app.detector.model import ABSENT, EntryRead, Input, Mark, RowChange, Side
from app.errors import Fatal, Poison
from app.ports import Record
from app.replay import Replay
from tests.support.detecting import rule_of, us


class Telling:
    """A codec whose records name the input that they stand for."""

    skipped: dict[str, int]

    def __init__(self) -> None:
        self.skipped = {}
        self.seen: list[tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]] = []

    def decode(self, record: Record) -> Sequence[Input]:
        """Left and right marks at `at`; a row that is there; poison."""
        self.seen.append((record.key, record.value, record.headers))
        if record.value is None:
            return ()
        told = json.loads(record.value)
        if told["is"] == "poison":
            raise Poison("decoding", "a record", "not understood")
        if told["is"] == "row":
            return (RowChange("r", "GA", 1, 1, us(told["at"]), ABSENT, (1, "a"), 7),)
        if told["is"] == "entry":
            return (EntryRead("r", "GA", (1, "a"), 3, None, 3, us(told["at"]), None),)
        return (Mark(Side(told["is"]), None, us(told["at"])),)


def line(**record: Any) -> bytes:
    return json.dumps({"topic": "t", "partition": 0} | record).encode() + b"\n"


def run(*lines: bytes, from_empty: bool = True) -> tuple[Replay, Telling, list[dict[str, Any]]]:
    codec, written = Telling(), []
    replay = Replay([rule_of()], {"t": codec}, written.append, from_empty=from_empty)
    replay.run(lines)
    return replay, codec, [json.loads(event) for event in written]


DRIFT = (
    line(value={"is": "row", "at": 100}),
    line(value={"is": "left", "at": 200}),
    line(value={"is": "right", "at": 250}),
)


def test_an_event_is_one_json_line() -> None:
    replay, _, [event] = run(*DRIFT)
    assert list(event) == ["ce_id", "ce_type", "ce_time", "headers", "value"]
    assert (event["ce_type"], event["headers"]["drift_confirmed"]) == ("drift.mismatch.opened", "replay")
    assert (replay.summary.records, replay.summary.events, replay.summary.open) == (3, 1, {"critical": 1})
    assert replay.summary.counts["opened"] == 1


def test_each_partition_has_a_detector_of_its_own() -> None:
    replay, _, events = run(*DRIFT, line(partition=1, value={"is": "row", "at": 100}))
    assert (len(replay.panels), len(events)) == (2, 1)


def test_bytes_and_headers_come_as_they_were() -> None:
    encoded = base64.b64encode(b"\xff").decode()
    value = base64.b64encode(b'{"is": "left", "at": 1}').decode()
    _, codec, _ = run(
        line(key="GÄ", value=None, headers={"a": "b", "c": None}),
        line(key_b64=encoded, value_b64=value),
        line(),
    )
    assert codec.seen == [
        ("GÄ".encode(), None, [("a", b"b"), ("c", b"")]),
        (b"\xff", b'{"is": "left", "at": 1}', ()),
        (None, None, ()),
    ]


def test_what_is_not_understood_is_counted_by_its_cause() -> None:
    replay, _, _ = run(line(topic="other"), line(topic="other"), line(value={"is": "poison"}))
    assert replay.summary.refused == {"topic other is not read": 2, "t: not understood": 1}


def test_an_empty_line_is_passed_over() -> None:
    replay, _, events = run(b"\n", *DRIFT)
    assert (replay.summary.records, len(events)) == (4, 1)


@pytest.mark.parametrize("damaged", [b"{\n", b'{"topic": "t"}\n', line(key_b64="%"), line(value_b64="a")])
def test_a_damaged_line_is_named(damaged: bytes) -> None:
    with pytest.raises(Fatal, match="line 2"):
        run(line(value=None), damaged)


def test_what_could_not_be_judged_is_written_in_a_fixed_order() -> None:
    replay, _, events = run(*DRIFT, from_empty=False)
    assert events == []
    assert [json.loads(found) for found in replay.unverifiable()] == [
        {
            "rule": "r",
            "key": "GA",
            "side": "left",
            "from": None,
            "until": "1970-01-01T00:01:40Z",
            "cause": "continuity",
        },
        {"rule": "r", "key": "GA", "side": "right", "from": None, "until": None, "cause": "continuity"},
    ]

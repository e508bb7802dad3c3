"""Records of `drift.mismatches` as the notifier reads them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.notices import Kind, Severity
from connectors.kafka.transitions import read_transition
from tests.support.recording import Message
from tests.support.webhooks import BASE_US, RULE, headers_of, mismatch
from tests.unit.test_schemas_examples import example


def record(event: dict[str, Any], **headers: str) -> Message:
    said = dict(headers_of(event)) | {name: text.encode() for name, text in headers.items()}
    return Message("drift.mismatches", 0, 7, b"k", orjson.dumps(event["data"]), list(said.items()))


def test_an_event_is_sent_as_it_stands_in_the_topic_its_headers_as_attributes() -> None:
    event = mismatch("K", 0, "opened")
    found = read_transition(record(event))
    assert found.event == event
    assert (found.id, found.kind, found.rule, found.key) == (event["id"], Kind.OPENED, RULE, "K")
    assert (found.severity, found.at_us) == (Severity.CRITICAL, BASE_US)


def test_what_the_worker_may_add_to_a_value_is_sent_too() -> None:
    event = mismatch("K", 0, "opened")
    event["data"]["later"] = {"a": [1]}
    assert read_transition(record(event)).event["data"]["later"] == {"a": [1]}


def test_nul_becomes_a_sign_that_postgresql_can_hold() -> None:
    event = mismatch("a\0b", 0, "opened")
    event["data"]["differences"][0]["left"] = "\0"
    found = read_transition(record(event))
    assert found.key == "a\ufffdb"
    assert "\\u0000" not in orjson.dumps(found.event).decode()


@pytest.mark.parametrize("name", ["0-opened", "1-updated", "2-resolved", "3-reopened"])
def test_the_examples_are_understood(name: str) -> None:
    event = mismatch("K", 0, name.partition("-")[2]) | {"data": example(f"mismatch.v1/{name}")}
    assert read_transition(record(event)).kind == name.partition("-")[2]


@pytest.mark.parametrize(
    "broken",
    [
        Message("t", 0, 0, b"k", None),
        Message("t", 0, 0, b"k", b"{}"),
        record(mismatch("K", 0, "opened"), ce_type="drift.mismatch.moved"),
        record(mismatch("K", 0, "opened"), ce_type="drift.mismatch.group"),
        record(mismatch("K", 0, "opened"), ce_time="yesterday"),
        record(mismatch("K", 0, "opened", severity="fatal")),
        record(mismatch("K", 0, "opened") | {"data": []}),
        record(
            mismatch("K", 0, "opened")
            | {"data": {"rule": "r", "key": "k", "episode": "e", "severity": "low"}}
        ),
        Message("t", 0, 0, b"k", b"{", [("ce_type", b"drift.mismatch.opened")]),
        Message("t", 0, 0, b"k", b"{}", [("ce_type", None)]),  # type: ignore[list-item]
    ],
)
def test_anything_else_is_refused_by_an_error_that_the_feed_counts(broken: Message) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        read_transition(broken)

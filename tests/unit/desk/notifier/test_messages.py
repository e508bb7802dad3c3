"""What targets are sent is what the schema says, and reads well."""

from __future__ import annotations

import json

import orjson

import schemas
from app.desk.notifier.messages import (
    calm_notice,
    flapping_notice,
    group_notice,
    message_of,
    probe_message,
    transition_notice,
)
from app.notices import Burst, Flapping, Notice, Queued, Severity
from tests.support.webhooks import RULE
from tests.unit.desk.notifier.transitions import at

OPENED, RESOLVED = at(0, "opened"), at(60, "resolved", 1)


def burst(first_id: str = OPENED.id) -> Burst:
    return Burst(
        "t",
        RULE,
        first_id,
        {("drift.mismatch.opened", Severity.MEDIUM): 11, ("drift.mismatch.updated", Severity.HIGH): 2},
        12,
        OPENED.at_us,
        RESOLVED.at_us,
        [OPENED.event],
    )


def words(notice: Notice) -> tuple[str, str]:
    message = message_of(Queued(notice.id, notice.payload, 0))
    assert (message.id, message.payload) == (notice.id, notice.payload)
    return message.title, message.text


def test_each_is_valid_and_says_nothing_that_the_schema_does_not_name() -> None:
    state = Flapping((OPENED.at_us,), OPENED.id, ("t",), 3, RESOLVED.event)
    payloads = [
        transition_notice(OPENED, "t", is_held=False).payload,
        transition_notice(RESOLVED, "t", is_held=False).payload,
        flapping_notice(OPENED, OPENED.id, 5, "t", is_held=False).payload,
        calm_notice(state, (RULE, "K"), RESOLVED.at_us, "t", is_held=False).payload,
        group_notice(burst()).payload,
        probe_message("t", OPENED.at_us).payload,
    ]
    for payload in payloads:
        assert schemas.validate("webhook.v1", json.loads(payload), strict=True) == []


def test_each_in_words() -> None:
    state = Flapping((OPENED.at_us,), OPENED.id, ("t",), 3, RESOLVED.event)
    assert words(transition_notice(OPENED, "t", is_held=False)) == (
        "critical: credit-line K opened",
        "since 2026-08-01T10:00:37Z; creditLimit: 1000 | 1500",
    )
    assert words(transition_notice(RESOLVED, "t", is_held=False)) == (
        "critical: credit-line K resolved",
        "in sync again since 2026-08-01T10:01:37Z (left_moved)",
    )
    assert words(flapping_notice(OPENED, OPENED.id, 5, "t", is_held=False)) == (
        "critical: credit-line K flaps",
        "reopened 5 times; quiet until it is calm",
    )
    assert words(calm_notice(state, (RULE, "K"), 0, "t", is_held=False)) == (
        "critical: credit-line K is calm again",
        "now resolved, after 3 transitions that were not told",
    )
    assert words(group_notice(burst())) == (
        "high: credit-line: 13 transitions of 12 keys",
        "11 opened (medium), 2 updated (high); 2026-08-01T10:00:37Z to 2026-08-01T10:01:37Z",
    )


def test_a_group_has_the_severity_of_its_worst_and_an_id_that_follows_from_its_first() -> None:
    assert group_notice(burst()).severity is Severity.HIGH
    assert group_notice(burst()) == group_notice(burst())
    assert group_notice(burst()).id != group_notice(burst(RESOLVED.id)).id


def test_a_test_says_that_it_is_one() -> None:
    message = probe_message("on-call", OPENED.at_us)
    event = orjson.loads(message.payload)
    assert event["data"]["test"] is True
    assert "test" in message.title
    assert "nothing has drifted" in message.text

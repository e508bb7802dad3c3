"""What the recorder keeps of each record."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.desk.recorder_records import Skipped, bury, read_record
from app.errors import Poison
from app.recording import Kept, Kind, Place, latest_rows
from tests.support.recording import (
    EPISODE,
    Message,
    buried_run,
    example,
    run_record,
    status_record,
    story,
    transition,
)


def kept(message: Message) -> Kept:
    found = read_record(message)
    assert isinstance(found, Kept)
    return found


def test_a_transition_is_kept_as_it_was_published() -> None:
    found = kept(story()[0])
    assert (found.kind, found.id) == (Kind.TRANSITIONS, f"{EPISODE}-0")
    assert found.row["value"] == example("mismatch.v1", "0-opened")
    assert found.row["at"] == "2026-08-01T10:00:37Z"
    assert found.row["confirmed"] == "live"
    assert (found.row["transition"], found.row["severity"]) == ("opened", "critical")


def test_an_event_without_an_id_is_poison() -> None:
    nameless = replace(story()[0], headers=[("ce_type", b"drift.mismatch.opened")])
    with pytest.raises(Poison, match="ce_id"):
        read_record(nameless)


def test_a_severity_that_nobody_knows_is_poison() -> None:
    value = example("mismatch.v1", "0-opened") | {"severity": "dreadful"}
    with pytest.raises(Poison, match="dreadful"):
        read_record(transition(value))


def test_what_is_no_event_is_poison() -> None:
    with pytest.raises(Poison, match="ce_type"):
        read_record(replace(story()[0], headers=[]))


def test_a_run_is_kept_with_its_whole_record() -> None:
    found = kept(run_record("r", attempt=2))
    assert (found.kind, found.id) == (Kind.RUNS, "credit-line|r")
    assert (found.row["attempts"], found.row["checked"], found.row["state"]) == (2, 120, "done")
    value = found.row["value"]
    assert isinstance(value, dict)
    assert value["progress"] == {"phase": "judging"}


def test_every_example_of_a_status_is_kept_or_skipped_with_a_cause() -> None:
    status = kept(status_record("status|credit-line|0", example("status.v1", "status")))
    blind = kept(status_record("status|credit-line|1", example("status.v1", "blind")))
    incident = kept(status_record("incident|e5", example("status.v1", "incident")))
    chain = read_record(status_record("chain|cee0302d59844d32", example("status.v1", "chain")))
    assert (status.kind, status.row["watermark_left"]) == (Kind.STATUS, "2026-08-01T10:05:00.000124Z")
    assert (blind.row["open"], blind.row["watermark_left"]) == ({"critical": 1}, None)
    assert (incident.kind, incident.row["since"]) == (Kind.INCIDENTS, "2026-08-01T01:15:00Z")
    assert chain == Skipped("chain")


def test_a_run_that_is_forgotten_by_its_topic_stays() -> None:
    assert read_record(status_record("run|credit-line|r", None)) == Skipped("tombstone")


def test_a_status_under_a_strange_key_is_poison() -> None:
    with pytest.raises(Poison, match="its key is none of"):
        read_record(status_record("weather|today", {}))


def test_a_run_that_was_given_up_is_kept_with_its_mismatches() -> None:
    found = kept(buried_run("r"))
    assert (found.kind, found.row["kind"], found.row["reference"]) == (Kind.DEAD_LETTERS, "run", "r")
    assert (found.row["rule"], found.row["attempts"]) == ("credit-line", 3)
    payload = found.row["payload"]
    assert isinstance(payload, dict)
    assert payload["mismatches"][0]["episode"] == EPISODE


def test_of_a_record_that_nobody_could_read_only_its_place_is_kept() -> None:
    why = example("dead-letter.v1", "headers")
    letter = Message(
        "drift.dead-letters",
        2,
        5,
        b"key",
        b"a secret",
        [(name, text.encode()) for name, text in why.items()],
    )
    found = kept(letter)
    assert (found.row["kind"], found.row["reference"]) == ("record", "db.changes[0]@17")
    assert found.row["payload"] == {"topic": "drift.dead-letters", "partition": 2, "offset": 5}
    assert "secret" not in repr(found.row)


def test_what_the_recorder_buries_has_the_id_of_its_place() -> None:
    one = bury(Place("drift.mismatches", 1), 7, 0, "no table takes it")
    assert one == bury(Place("drift.mismatches", 1), 7, 0, "no table takes it")
    assert one.id != bury(Place("drift.mismatches", 1), 8, 0, "no table takes it").id
    assert one.row["reference"] == "drift.mismatches[1]@7"


def test_of_two_records_of_one_run_the_later_is_the_row() -> None:
    rows = latest_rows([kept(run_record("r", state="running", finished_at=None)), kept(run_record("r"))])
    assert [row["state"] for row in rows[Kind.RUNS]] == ["done"]


def test_a_topic_may_have_a_prefix() -> None:
    message = replace(story()[0], topic="mine.drift.mismatches")
    found = read_record(message, "mine.")
    assert isinstance(found, Kept)
    assert found.place == Place("mine.drift.mismatches", 0)

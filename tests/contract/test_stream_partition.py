"""What a partition's work promises to the step: undone means undone, and rows alone bring everything back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import orjson
import pytest

from app.detector.model import SECOND
from app.stream import rule_partition
from app.stream.partition import DriftPartition
from app.stream.rule_partition import TABLES
from app.stream.work import Batch, Outcome, Part, RecordFailed, write_rows
from schemas.topics import DB_CHANGES, EPISODES, MISMATCHES, REQUESTS, STATUS
from tests.support.credit_stream import CreditStream, Told
from tests.support.one_partition import NOW_US, Arrived, make_partition
from tests.support.worker import credit_rules

Parts = dict[str, Part]


def batches(told: Iterable[Told], size: int = 50) -> Iterator[Batch]:
    """The records of one partition as polls give them: one topic a batch."""
    offsets: defaultdict[str, int] = defaultdict(int)
    for topic, run in groupby(told, key=lambda one: one.topic):
        arrived = []
        for one in run:
            arrived.append(Arrived(one.value, offsets[topic], one.key, (), topic))
            offsets[topic] += 1
        for at in range(0, len(arrived), size):
            yield Batch(arrived[at : at + size], 0.0)


def store(parts: Parts, outcome: Outcome) -> None:
    """What a step makes durable."""
    for stage in outcome.stages:
        for table, rows in stage.items():
            write_rows(parts[table], rows)


def told_events(outcomes: Iterable[Outcome]) -> list[bytes]:
    """Values of the mismatches, key by key in the order in which each key was told."""
    told = [message for outcome in outcomes for message in outcome.messages if message.topic == MISMATCHES]
    return [message.value or b"" for message in sorted(told, key=lambda message: message.key or b"")]


def status_of(outcome: Outcome) -> dict[str, object]:
    found = [m for m in outcome.messages if m.topic == STATUS and (m.key or b"").startswith(b"status|")]
    return dict(orjson.loads(found[-1].value or b""))


def incidents_of(outcome: Outcome) -> list[dict[str, object]]:
    found = [m for m in outcome.messages if m.topic == STATUS and (m.key or b"").startswith(b"incident|")]
    return [dict(orjson.loads(message.value or b"")) for message in found]


@pytest.fixture
def stream() -> CreditStream:
    return CreditStream(keys=30, partitions=1, drift_every=5, start_us=NOW_US - 400 * SECOND)


def run(work: DriftPartition, parts: Parts, todo: Sequence[Batch]) -> list[Outcome]:
    outcomes = []
    for batch in todo:
        outcomes.append(work.absorb(batch))
        store(parts, outcomes[-1])
        work.published(outcomes[-1])
    return outcomes


def fresh_parts() -> Parts:
    return {table: {} for table in TABLES}


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_restart_after_every_step_tells_what_no_restart_tells(stream: CreditStream, size: int) -> None:
    todo = list(batches([*stream.birth(), *stream.ledgers(40, 6)], size))
    rules = credit_rules()
    whole, parts = fresh_parts(), fresh_parts()
    expected = told_events(run(make_partition(rules, whole), whole, todo))
    assert len(expected) > 10

    outcomes: list[Outcome] = []
    for batch in todo:
        outcomes += run(make_partition(rules, parts), parts, [batch])

    assert told_events(outcomes) == expected
    assert parts["left"].keys() == whole["left"].keys()


def test_steps_without_room_tell_the_same_in_more_steps(
    stream: CreditStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the process dies after any of them: the rows know what was judged."""
    todo = list(batches([*stream.birth(), *stream.ledgers(40, 6)], 1000))
    whole = fresh_parts()
    expected = told_events(run(make_partition(credit_rules(), whole), whole, todo))
    monkeypatch.setattr(rule_partition, "ROOM", 1)
    parts, outcomes, steps = fresh_parts(), list[Outcome](), 0
    for batch in todo:
        work = make_partition(credit_rules(), parts)
        outcomes += run(work, parts, [batch])
        while (more := outcomes[-1].more) is not None:
            outcomes.append(more())
            store(parts, outcomes[-1])
            steps += 1

    assert told_events(outcomes) == expected
    assert steps > len(expected) // 2
    assert parts["left"].keys() == whole["left"].keys()


def test_rows_alone_bring_back_the_count_of_keys_and_open_episodes(stream: CreditStream) -> None:
    parts = fresh_parts()
    work = make_partition(credit_rules(), parts)
    run(work, parts, list(batches([*stream.birth(), *stream.ledgers(40, 6)])))
    [held] = work.rules.values()
    active = dict(held.detector.open_by_severity)
    assert active

    [again] = make_partition(credit_rules(), parts).rules.values()

    assert dict(again.detector.open_by_severity) == active
    assert again.keys == held.keys == 30
    assert again.detector.verified_through == held.detector.verified_through


@pytest.mark.parametrize("table", ["left", "right"])
def test_a_table_that_was_lost_alone_is_told_and_nothing_is_told_as_drift(
    stream: CreditStream, table: str
) -> None:
    """What nobody remembers is unknown until a sweep, not absent."""
    parts = fresh_parts()
    run(make_partition(credit_rules(), parts), parts, list(batches(stream.birth())))
    assert parts[table]
    parts[table].clear()

    again = make_partition(credit_rules(), parts)
    outcomes = run(again, parts, list(batches(stream.ledgers(20, 0))))

    assert told_events(outcomes) == []
    [incident] = [each for outcome in outcomes for each in incidents_of(outcome)]
    assert (incident["cause"], incident["state"]) == ("offsets", "open")
    asked = [message for outcome in outcomes for message in outcome.messages if message.topic == REQUESTS]
    assert [orjson.loads(message.value or b"")["cause"] for message in asked] == ["offsets"]
    [held] = again.rules.values()
    assert held.detector.verified_through > NOW_US - 400 * SECOND


def test_a_partition_that_has_nothing_has_lost_nothing(stream: CreditStream) -> None:
    parts = fresh_parts()
    run(make_partition(credit_rules(), parts), parts, list(batches(stream.ledgers(2, 0))))
    assert parts["left"] == parts["right"] == {}

    outcomes = run(make_partition(credit_rules(), parts), parts, list(batches(stream.ledgers(2, 0))))

    assert [each for outcome in outcomes for each in incidents_of(outcome)] == []


def test_a_failed_step_is_undone_in_memory_as_well(
    stream: CreditStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Watermarks, open episodes, counts of what was published: as the last good step left them."""
    todo = list(batches([*stream.birth(), *stream.ledgers(40, 6)]))
    parts = fresh_parts()
    work = make_partition(credit_rules(), parts)
    run(work, parts, todo[:-20])
    before = status_of(work.tick())
    monkeypatch.setattr(work, "_collect_rows", lambda outcome: 1 / len(outcome.stages))
    records = [record for batch in todo[-20:] for record in batch.records if record.topic == DB_CHANGES]
    with pytest.raises(RecordFailed) as failed:
        work.absorb(Batch(records, 0.0))
    monkeypatch.undo()
    told = work.plan.metrics.mismatches

    counted = sum(sample.value for metric in told.collect() for sample in metric.samples)
    parked = work.park(failed.value)
    work.published(parked)

    after = status_of(parked)
    assert (after["state"], after["verified_through"]) == ("parked", before["verified_through"])
    assert (after["open"], after["keys"]) == (before["open"], before["keys"])
    assert counted == sum(sample.value for metric in told.collect() for sample in metric.samples)
    assert status_of(work.tick())["state"] == "parked"


def test_a_parked_partition_that_gets_past_the_record_ends_its_incident(stream: CreditStream) -> None:
    todo = list(batches([*stream.birth(), *stream.ledgers(5, 6)]))
    parts = fresh_parts()
    work = make_partition(credit_rules(), parts)
    run(work, parts, todo[:3])
    work._record = todo[3].records[-1]
    parked = work.park(ZeroDivisionError("a bug"))
    store(parts, parked)
    [begun] = incidents_of(parked)

    work = make_partition(credit_rules(), parts)
    ended = [incident for outcome in run(work, parts, todo[3:]) for incident in incidents_of(outcome)]

    [over] = ended
    assert (begun["state"], over["state"]) == ("open", "closed")
    assert begun["id"] == over["id"]
    assert not any(key.startswith(b"\0parked") for key in parts["episodes"])


def test_a_forgotten_episode_leaves_a_tombstone(stream: CreditStream) -> None:
    """Once it is resolved and past `reopen` (10 minutes)."""
    told = [*stream.birth(), *stream.ledgers(40, 6)]
    stream.drift_every = 10**9
    told += [one for _ in range(240) for one in stream.ledgers(1, 6)]
    parts = fresh_parts()
    outcomes = run(make_partition(credit_rules(), parts), parts, list(batches(told)))
    last: dict[bytes, bytes | None] = {}
    for outcome in outcomes:
        for message in outcome.messages:
            if message.topic == EPISODES and message.key is not None:
                last[message.key] = message.value

    gone = [key for key, value in last.items() if value is None]
    assert gone
    assert not any(key in parts["episodes"] for key in gone)


def test_a_side_without_marks_makes_the_status_blind(stream: CreditStream) -> None:
    """Told within one tick of the limit (60 s); what is silent is named."""
    parts = fresh_parts()
    work = make_partition(credit_rules(), parts)
    run(work, parts, list(batches(stream.birth())))
    clock = work.plan.clock
    states = []
    for waited in range(0, 150, 30):
        clock.now_us = lambda now=NOW_US + waited * SECOND: now
        states.append(status_of(work.tick()))

    assert [one["state"] for one in states][-1] == "blind"
    assert "left since" in str(states[-1]["cause"])
    assert "right since" in str(states[-1]["cause"])
    assert states[-1]["verified_through"] == states[0]["verified_through"]


def test_a_jump_of_the_offsets_is_lost_input_and_a_repeat_is_none(stream: CreditStream) -> None:
    todo = list(batches([*stream.birth(), *stream.ledgers(5, 6)]))
    changes = [batch for batch in todo if batch.records[0].topic == DB_CHANGES]
    parts = fresh_parts()
    work = make_partition(credit_rules(), parts)
    run(work, parts, [changes[0], changes[1], changes[0]])
    assert work.plan.metrics.lost_offsets._value.get() == 0

    [outcome] = run(make_partition(credit_rules(), parts), parts, [changes[3]])
    [incident] = incidents_of(outcome)

    assert (incident["cause"], incident["state"]) == ("offsets", "open")


def test_many_recovered_keys_are_looked_at_one_lot_after_the_other(
    stream: CreditStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a million at one mark would stand still for as long as a frozen process."""
    todo = list(batches([*stream.birth(), *stream.ledgers(40, 10)]))
    whole, parts = make_partition(credit_rules()), {table: {} for table in TABLES}
    plain = run(whole, {table: {} for table in TABLES}, todo)
    first = run(make_partition(credit_rules(), parts), parts, todo[:60])
    monkeypatch.setattr("app.stream.rule_partition.LOOKED_AT_A_SECOND", 2)
    work = make_partition(credit_rules(), parts)
    looked = work.rules["credit-line"].detector.counts
    after = run(work, parts, todo[60:62])
    assert looked["judged"] < 30
    after += run(work, parts, todo[62:])

    assert told_events([*first, *after]) == told_events(plain)

"""A side that cannot be trusted, through a worker's partition: what is told, asked for, and shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
import pytest

from app.detector.model import SECOND
from app.detector.values import format_time
from app.stream.partition import DriftPartition
from app.stream.rule_partition import TABLES
from app.stream.work import Batch, Message, Outcome, Part
from schemas.topics import CHAIN_EVENTS, DB_CHANGES, DEAD_LETTERS, OBSERVATIONS, REQUESTS, STATUS
from tests.support.credit_stream import CONTRACT, CreditStream, key_of
from tests.support.one_partition import NOW_US, Arrived, make_partition
from tests.support.worker import credit_rules

NETWORK = "0123456789abcdef"
LEDGER = 2000


class Partition:
    """Partition 0 of 4 of a worker, its rows kept."""

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {table: {} for table in TABLES}
        self.work = make_partition(credit_rules(), self.parts)
        self.offsets = dict.fromkeys((DB_CHANGES, CHAIN_EVENTS, OBSERVATIONS), 0)

    def take(self, topic: str, *values: bytes, key: bytes | None = None, told_us: int = NOW_US) -> Outcome:
        """A batch of one topic, written at `told_us`."""
        first = self.offsets[topic]
        self.offsets[topic] += len(values)
        records = [
            Arrived(value, first + place, key, (), topic, 0, told_us // 1000)
            for place, value in enumerate(values)
        ]
        outcome = self.work.absorb(Batch(records, 0.0))
        self._store(outcome)
        return outcome

    def _store(self, outcome: Outcome) -> None:
        for stage in outcome.stages:
            for table, rows in stage.items():
                for row, value in rows.items():
                    self.parts[table].pop(row, None) if value is None else self.parts[table].update(
                        {row: value}
                    )

    def control(self, **record: object) -> Outcome:
        return self.take(OBSERVATIONS, orjson.dumps(record))

    def ledger(self, number: int, closed_us: int, told_us: int = NOW_US) -> Outcome:
        mark = {
            "kind": "mark",
            "network": NETWORK,
            "ledger": number,
            "closed_at": format_time(closed_us),
            "from_ledger": number,
        }
        return self.take(CHAIN_EVENTS, orjson.dumps(mark), told_us=told_us)

    def restart(self) -> None:
        """Another worker takes the partition over."""
        self.work.close()
        self.work = make_partition(credit_rules(), self.parts)


def on(topic: str, outcome: Outcome) -> list[Message]:
    return [message for message in outcome.messages if message.topic == topic]


def statuses(outcome: Outcome, kind: str) -> list[dict[str, Any]]:
    found = [m for m in on(STATUS, outcome) if (m.key or b"").startswith(kind.encode() + b"|")]
    return [orjson.loads(message.value or b"") for message in found]


def state_of(partition: Partition) -> tuple[str, str | None, int | None]:
    """The status: (state, cause, how far apart the clocks are)."""
    said = statuses(partition.work.tick(), "status")[-1]
    return said["state"], said["cause"], said["clock_offset_ms"]


def requests(outcome: Outcome) -> list[str]:
    return [orjson.loads(message.value or b"")["cause"] for message in on(REQUESTS, outcome)]


def counted(work: DriftPartition, cause: str) -> float:
    return float(work.plan.metrics.incidents.labels(cause)._value.get())


@pytest.fixture
def partition() -> Partition:
    return Partition()


def rows(numbers: Iterable[int], *gone: str) -> list[tuple[bytes, bytes]]:
    """Changes of rows as Debezium tells them, without some columns."""
    stream = CreditStream(keys=10, partitions=1, start_us=NOW_US - 30 * SECOND)
    told = []
    for number in numbers:
        value = orjson.loads(stream._row(number, NOW_US - 20 * SECOND, is_birth=False).value)
        for column in gone:
            del value["after"][column]
        told.append((key_of(number).encode(), orjson.dumps(value)))
    return told


def test_rows_without_a_column_are_one_incident_and_no_dead_letter(partition: Partition) -> None:
    outcomes = [partition.take(DB_CHANGES, value, key=key) for key, value in rows(range(3), "credit_limit")]

    told = [one for outcome in outcomes for one in statuses(outcome, "incident")]
    assert [(one["cause"], one["state"], one["until"]) for one in told] == [("schema", "open", None)]
    assert "column 'credit_limit' is missing" in told[0]["detail"]
    assert [requests(outcome) for outcome in outcomes] == [["schema"], [], []]
    assert not any(on(DEAD_LETTERS, outcome) for outcome in outcomes)
    assert state_of(partition) == ("unverifiable", "schema", None)
    assert counted(partition.work, "schema") == 1


def test_the_other_partitions_are_told_once_and_take_it_up(partition: Partition) -> None:
    [(key, value), (other, more)] = rows(range(2), "credit_limit")

    told = on(OBSERVATIONS, partition.take(DB_CHANGES, value, key=key))
    again = on(OBSERVATIONS, partition.take(DB_CHANGES, more, key=other))

    assert [message.partition for message in told] == [1, 2, 3]
    assert again == []
    beside = Partition()
    outcome = beside.take(OBSERVATIONS, told[0].value or b"")
    assert [one["cause"] for one in statuses(outcome, "incident")] == ["schema"]
    assert on(OBSERVATIONS, outcome) == [], "it is not passed on again"


def test_partitions_that_see_it_in_one_minute_tell_one_incident(partition: Partition) -> None:
    told = []
    for at in ("2026-08-01T10:05:01Z", "2026-08-01T10:05:02Z"):
        schema = {"rule": "credit-line", "side": "left", "at": at, "detail": "no column"}
        told += statuses(Partition().control(schema=schema), "incident")
    assert len({one["id"] for one in told}) == 1
    assert len(told) == 2


def test_clocks_that_are_apart_are_shown_told_and_swept_after(partition: Partition) -> None:
    partition.control(clock={"source": "db", "offset_ms": 0})
    partition.ledger(LEDGER, NOW_US - 2 * SECOND)

    begun = partition.ledger(LEDGER + 1, NOW_US + 60 * SECOND)

    [incident] = statuses(begun, "incident")
    assert (incident["cause"], incident["state"], incident["source"]) == ("clock", "open", "db")
    assert requests(begun) == [], "not yet: it would read by wrong clocks"
    assert state_of(partition) == ("blind", "clock", -60_000)
    partition.restart()
    assert state_of(partition) == ("blind", "clock", -60_000)
    outcomes = [
        partition.ledger(
            LEDGER + 2 + number, NOW_US + (61 + number) * SECOND, NOW_US + (62 + number) * SECOND
        )
        for number in range(6)
    ]
    mark = next(CreditStream(keys=1, partitions=1)._left_mark(NOW_US + 70 * SECOND))
    outcomes.append(partition.take(DB_CHANGES, mark.value, key=mark.key))
    assert [cause for outcome in outcomes for cause in requests(outcome)] == ["clock"]
    assert state_of(partition) == ("unverifiable", "clock", 0)
    partition.control(
        seeded={"rule": "credit-line", "side": "left", "at": time_after(75), "through": time_after(76)}
    )
    mark = next(CreditStream(keys=1, partitions=1)._left_mark(NOW_US + 80 * SECOND))
    ended = partition.take(DB_CHANGES, mark.value, key=mark.key)
    [over] = statuses(ended, "incident")
    assert (over["id"], over["state"], over["until"]) == (incident["id"], "closed", time_after(76))
    assert counted(partition.work, "clock") == 0, (
        "an end is no incident (and another process counted its start)"
    )


def time_after(seconds: int) -> str:
    return format_time(NOW_US + seconds * SECOND)


def test_other_code_of_a_contract_is_followed_by_a_sweep(partition: Partition) -> None:
    event = {
        "kind": "event",
        "network": NETWORK,
        "contract": CONTRACT,
        "ledger": LEDGER,
        "closed_at": format_time(NOW_US),
        "id": f"{LEDGER << 32:019d}-0000000001",
        "type": "system",
        "topics": [{"symbol": "executable_update"}, {"vec": []}, {"vec": []}],
        "data": {"void": None},
        "key": CONTRACT,
        "entries": [],
    }
    assert requests(partition.take(CHAIN_EVENTS, orjson.dumps(event))) == ["upgrade"]


def test_an_entry_that_cannot_be_decoded_is_no_dead_letter(partition: Partition) -> None:
    entry = {
        "kind": "entry",
        "network": NETWORK,
        "contract": CONTRACT,
        "entry": "credit-line",
        "key": key_of(1),
        "exists": True,
        "value": None,
        "problem": "it is no map",
        "read_ledger": LEDGER,
        "read_at": format_time(NOW_US),
        "cause": "event",
    }
    outcome = partition.take(CHAIN_EVENTS, orjson.dumps(entry))
    assert on(DEAD_LETTERS, outcome) == []
    [incident] = statuses(outcome, "incident")
    assert (incident["cause"], incident["state"]) == ("schema", "open")
    assert "it is no map" in incident["detail"]

"""A stream of credit lines and their rows in the wire format, at any size: marks, changes, planted drift."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import orjson
from aiokafka.partitioner import murmur2

from app.detector.values import format_time
from schemas.topics import CHAIN_EVENTS, DB_CHANGES

SECOND = 1_000_000
LEDGER_US = 5 * SECOND
FIRST_LEDGER = 1000
CONTRACT = "CA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJUWDA"
ENVIRONMENT = {"CREDIT_CONTRACT_ID": CONTRACT}
_SOURCE = {
    "version": "3.6.0.Final",
    "connector": "postgresql",
    "name": "db",
    "db": "credit",
    "schema": "public",
}


class Told(NamedTuple):
    """A record: topic without a prefix."""

    topic: str
    partition: int
    key: bytes
    value: bytes


def key_of(number: int) -> str:
    """A borrower's address-like key of 56 characters."""
    return f"G{number:055d}"


def partition_of(key: str, partitions: int) -> int:
    """Kafka's default partitioner."""
    return int(murmur2(key.encode()) & 0x7FFFFFFF) % partitions


class CreditStream:
    """Records in arrival order, a ledger (5 s of event time) at a time.

    `drift_every`: every so many changes the row does not follow. Each borrower's line begins at `birth`, its
    row two seconds later; changes draw on the line.
    """

    def __init__(
        self, *, keys: int, partitions: int = 4, start_us: int = 1_790_000_000 * SECOND, drift_every: int = 50
    ) -> None:
        self.keys, self.partitions, self.start_us, self.drift_every = keys, partitions, start_us, drift_every
        self.random = random.Random(keys)
        self.used = [0] * keys
        self.ledger, self.lsn, self.changes = 0, 1000, 0
        self._partitions = [partition_of(key_of(number), partitions) for number in range(keys)]

    def birth(self) -> Iterator[Told]:
        """Every borrower's line and row, agreeing."""
        yield from self._ledger(range(self.keys), is_birth=True)

    def ledgers(self, count: int, changes: int) -> Iterator[Told]:
        """`changes` draws in each of `count` ledgers, by borrowers drawn at random."""
        for _ in range(count):
            yield from self._ledger(self.random.sample(range(self.keys), changes), is_birth=False)

    def _ledger(self, numbers: Iterable[int], *, is_birth: bool) -> Iterator[Told]:
        at = self.start_us + self.ledger * LEDGER_US
        follow: list[tuple[int, int]] = []
        for number in numbers:
            if not is_birth:
                self.used[number] += 1
            self.changes += 1
            yield from self._entry(number, at)
            if is_birth or self.changes % self.drift_every:
                follow.append((at + 2 * SECOND + len(follow), number))
        yield from self._chain_mark(at)
        for at_us, number in follow:
            self.lsn += 8
            yield self._row(number, at_us, is_birth=is_birth)
        for second in range(3, 6):
            yield from self._left_mark(at + second * SECOND)
        self.ledger += 1

    def _entry(self, number: int, at: int) -> Iterator[Told]:
        key, partition, told = key_of(number), self._partitions[number], format_time(at)
        ledger = FIRST_LEDGER + self.ledger
        event_id = f"{ledger << 32:019d}-{number:010d}"
        common = {"network": "0123456789abcdef", "contract": CONTRACT}
        event = common | {
            "kind": "event",
            "ledger": ledger,
            "closed_at": told,
            "tx": f"{number:064x}",
            "tx_index": 1,
            "op_index": 0,
            "id": event_id,
            "type": "contract",
            "topics": [{"symbol": "credit"}, {"symbol": "drawn"}],
            "data": {"map": []},
            "key": key,
            "entries": ["credit-line"],
        }
        line = {
            "borrower": key,
            "credit_limit": "1000000000000",
            "utilized_amount": str(self.used[number] * 10_000_000),
            "interest_rate_bps": 500,
            "status": "active",
        }
        entry = common | {
            "kind": "entry",
            "entry": "credit-line",
            "key": key,
            "exists": True,
            "value": line,
            "modified_ledger": ledger,
            "modified_at": told,
            "read_ledger": ledger,
            "read_at": told,
            "live_until_ledger": ledger + 100_000,
            "cause": "event",
            "event_id": event_id,
        }
        for value in (event, entry):
            yield Told(CHAIN_EVENTS, partition, key.encode(), orjson.dumps(value))

    def _chain_mark(self, at: int) -> Iterator[Told]:
        ledger = FIRST_LEDGER + self.ledger
        mark = {
            "kind": "mark",
            "network": "0123456789abcdef",
            "ledger": ledger,
            "closed_at": format_time(at),
            "from_ledger": ledger,
        }
        for partition in range(self.partitions):
            yield Told(CHAIN_EVENTS, partition, b"mark", orjson.dumps(mark))

    def _row(self, number: int, at: int, *, is_birth: bool) -> Told:
        key = key_of(number)
        row = {
            "id": number + 1,
            "wallet_address": key,
            "credit_limit": "100000.0000000",
            "available_credit": f"{100_000 - self.used[number]}.0000000",
            "interest_rate_bps": 500,
            "status": "active",
            "deleted_at": None,
            "updated_at": format_time(at),
        }
        value = {
            "before": None,
            "after": row,
            "source": self._source(at, "credit_lines"),
            "transaction": None,
            "op": "c" if is_birth else "u",
            "ts_ms": at // 1000,
            "ts_us": at,
            "ts_ns": at * 1000,
        }
        return Told(DB_CHANGES, self._partitions[number], key.encode(), orjson.dumps(value))

    def _source(self, at: int, table: str) -> dict[str, object]:
        return _SOURCE | {
            "ts_ms": at // 1000,
            "snapshot": "false",
            "sequence": f'["{self.lsn - 8}","{self.lsn}"]',
            "ts_us": at,
            "ts_ns": at * 1000,
            "table": table,
            "txId": self.lsn % 100_000,
            "lsn": self.lsn,
            "xmin": None,
        }

    def _left_mark(self, at: int) -> Iterator[Told]:
        for partition in range(self.partitions):
            yield left_mark(partition, at, self._source(at, ""))


def left_mark(partition: int, at: int, source: dict[str, object] | None = None) -> Told:
    """The database's promise in one partition."""
    content = base64.b64encode(orjson.dumps({"at": format_time(at), "lsn": "0/0"})).decode()
    prefix = f"wm:{partition}"
    source = source or _SOURCE | {"ts_us": at, "ts_ms": at // 1000, "table": "", "lsn": 1}
    value = {
        "op": "m",
        "ts_ms": at // 1000,
        "source": source,
        "message": {"prefix": prefix, "content": content},
    }
    return Told(DB_CHANGES, partition, prefix.encode(), orjson.dumps(value))


def log_lines(told: Iterable[Told]) -> Iterator[bytes]:
    """The records as lines of a recorded log, with the offsets that they get in empty topics."""
    offsets: dict[tuple[str, int], int] = {}
    for topic, partition, key, value in told:
        offset = offsets[topic, partition] = offsets.get((topic, partition), -1) + 1
        head = {"topic": topic, "partition": partition, "offset": offset, "timestamp": 0, "key": key.decode()}
        yield orjson.dumps(head | {"value": orjson.Fragment(value), "headers": {}})

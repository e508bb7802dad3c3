"""A work whose state shows every lost or doubled record: sides paired by sequence, with a checksum (no
detector)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
import orjson

from app.stream.work import Batch, Message, Outcome, Part, Rows

LEFT_TOPIC, RIGHT_TOPIC, OUT_TOPIC = "db.changes", "chain.events", "out"
TABLES = ("state", "marks")
ADDRESS = "GDQP2KPQGKIHYJGXNUIYOMHARUARCA7DJT5FO2FFOOKY3B2WSQHG4W37"
MODULUS = 0x7FFFFFFFFFFF


class Pairs(msgspec.Struct, array_like=True):
    """State of one key: positions and counts by side, what waits for its other half, a checksum over the
    pairs."""

    offsets: list[int]
    counts: list[int]
    waiting: list[dict[int, int]]
    checksum: int = 0
    told: int = 0


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Pairs).decode


class Decision(NamedTuple):
    """The key's new state (None: the record was seen before) and the message it causes (None: none)."""

    state: bytes | None
    out: tuple[str, bytes] | None


def decide(key: bytes, side: int, offset: int, value: bytes, stored: bytes | None) -> Decision:
    """Pure: a state and a record make a state and at most one message, whose id is derived."""
    state = decode(stored) if stored is not None else Pairs([-1, -1], [0, 0], [{}, {}])
    if offset <= state.offsets[side]:
        return Decision(None, None)
    state.offsets[side] = offset
    state.counts[side] += 1
    content = orjson.loads(value)
    sequence, balance = content["sequence"], int(content["balance"])
    other = state.waiting[1 - side].pop(sequence, None)
    if other is None:
        state.waiting[side][sequence] = balance
        return Decision(encode(state), None)
    left, right = (balance, other) if side == 0 else (other, balance)
    state.checksum = (state.checksum + sequence * 2654435761 + left * 31 + right) % MODULUS
    if left == right:
        return Decision(encode(state), None)
    state.told += 1
    told_id = hashlib.sha256(key + b"|%d" % sequence).hexdigest()[:24]
    body = orjson.dumps(
        {"id": told_id, "key": key.decode(), "sequence": sequence, "left": left, "right": right}
    )
    return Decision(encode(state), (told_id, body))


def make_record(side: int, number: int, sequence: int) -> tuple[bytes, bytes]:
    """(key, value); one pair of 500 differs. About the size of real records."""
    balance = 1_000_000 + number * 7 + sequence * 13
    if side == 1 and (number * 31 + sequence * 17) % 500 == 0:
        balance -= 1
    value = {
        "balance": str(balance),
        "sequence": sequence,
        "owner": ADDRESS,
        "note": "x" * (420 if side == 0 else 210),
    }
    return b"CL-%08d" % number, orjson.dumps(value)


class PairsWork:
    """A `PartitionWork` over `decide`. `is_idempotent` False is a mutant: positions in the state are
    ignored."""

    def __init__(
        self, partition: int, parts: Mapping[str, Part], out: str, *, is_idempotent: bool = True
    ) -> None:
        self.partition, self.state, self.out, self.is_idempotent = (
            partition,
            parts["state"],
            out,
            is_idempotent,
        )

    def absorb(self, batch: Batch) -> Outcome:
        side = 1 if batch.records[0].topic.endswith(RIGHT_TOPIC) else 0
        outcome = Outcome()
        rows: Rows = {}
        for record in batch.records:
            assert record.key is not None
            assert record.value is not None
            stored = rows.get(record.key) or self.state.get(record.key)
            if stored is not None and not self.is_idempotent:
                forgetful = decode(stored)
                forgetful.offsets = [-1, -1]
                stored = encode(forgetful)
            state, out = decide(record.key, side, record.offset, record.value, stored)
            if state is not None:
                rows[record.key] = state
            if out is not None:
                outcome.messages.append(Message(self.out, record.key, out[1]))
        mark: Rows = {b"\0%d" % self.partition: b"%d" % batch.records[-1].offset}
        outcome.stages = [{"state": rows}, {"marks": mark}]
        return outcome

    def tick(self) -> Outcome:
        return Outcome()

    def published(self, outcome: Outcome) -> None:
        pass

    def park(self, cause: Exception) -> Outcome:
        del cause
        return Outcome()

    def close(self) -> None:
        pass


def judge_all(records: Iterable[tuple[int, bytes, int, bytes]]) -> tuple[dict[bytes, bytes], set[str]]:
    """The oracle: one pass over (side, key, offset, value); the state by key and the ids told."""
    states: dict[bytes, bytes] = {}
    ids: set[str] = set()
    for side, key, offset, value in records:
        state, out = decide(key, side, offset, value, states.get(key))
        if state is not None:
            states[key] = state
        if out is not None:
            ids.add(out[0])
    return states, ids


def canonical(stored: bytes) -> bytes:
    """Equal states as equal bytes: what waits, in order of sequence."""
    state = decode(stored)
    state.waiting = [dict(sorted(side.items())) for side in state.waiting]
    return encode(state)

"""Seeded two-sided histories of credit lines, the records that tell of them, and the truth by brute force.

The truth is computed from the definition of drift alone (an instant is in sync when some right value within
[t - lag - skew, t + lead + skew] equals the left one, field by field) and shares no code with the detector.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

S = 1_000_000
START = 1_790_000_000 * S
LEDGER_US = 5 * S
STATUS = ("active", "suspended", "defaulted", "closed", "restricted")
CONTRACT = "CA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJUWDA"

Line = tuple[int, int, int, str]
"""(credit limit, utilised, rate in bps, status), amounts in base units of 7 decimals."""


def iso(us: int) -> str:
    """RFC 3339 with 6 digits."""
    return datetime.fromtimestamp(us / S, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{us % S:06d}Z"


@dataclass
class Shape:
    """What kind of world: sizes, lag, how often what goes wrong."""

    keys: int = 20
    seconds: int = 600
    partitions: int = 2
    drift_rate: float = 0.15
    stall: bool = False
    duplicate_rate: float = 0.0
    clock_offset_us: int = 0
    several_rows: bool = False
    lag_us: int = 30 * S
    lead_us: int = 10 * S
    skew_us: int = 2 * S
    min_us: int = 2 * S


@dataclass
class History:
    """What really was: pieces (time, value) of the entry and of each row; None is absent, "out" deleted."""

    key: str
    right: list[tuple[int, Line | None]] = field(default_factory=list)
    rows: dict[int, list[tuple[int, Line | str | None]]] = field(default_factory=dict)


def build_history(r: random.Random, key: str, row: int, shape: Shape) -> History:
    """One borrower's life on both sides."""
    history = History(key)
    line: Line = (r.randrange(1, 500) * 10**9, 0, r.choice((300, 500, 700)), "active")
    ledger = r.randrange(0, 20)
    last_ledger = shape.seconds * S // LEDGER_US - 1
    left: list[tuple[int, Line | str | None]] = []
    history.rows[row] = left
    pace = r.choice((2, 6, 20, 40))
    while ledger < last_ledger:
        at = START + ledger * LEDGER_US
        history.right.append((at, line))
        _follow(r, left, at, line, shape)
        if r.random() < 0.02 and len(history.right) > 2:
            ledger += r.randrange(1, 8)
            if ledger >= last_ledger:
                break
            gone = START + ledger * LEDGER_US
            history.right.append((gone, None))
            _append(left, gone + r.randrange(0, 25 * S), None if r.random() < 0.5 else "out")
        line = _change(r, line)
        ledger += r.randrange(1, pace + 1)
    if r.random() < shape.drift_rate and left:
        _append(left, left[-1][0] + r.randrange(1, 60 * S), (7, 7, 7, "active"))
    if shape.several_rows and r.random() < 0.3:
        history.rows[row + 100_000] = [(left[len(left) // 2][0] + 3 * S, line), (left[-1][0] + 9 * S, None)]
    return history


def _follow(
    r: random.Random, left: list[tuple[int, Line | str | None]], at: int, line: Line, shape: Shape
) -> None:
    lag = r.choice((0, 1, 4, 12, 24)) * S + r.randrange(0, 2 * S) - r.choice((0, 0, 0, 3 * S))
    roll = r.random()
    if roll < shape.drift_rate / 3:
        return
    if roll < shape.drift_rate * 2 / 3:
        lag += r.randrange(20, 60) * S
    elif roll < shape.drift_rate:
        line = (line[0] + r.randrange(1, 9) * 10**7, *line[1:])
    _append(left, at + lag, line)


def _append(left: list[tuple[int, Line | str | None]], at: int, value: Line | str | None) -> None:
    at = max(at, START, left[-1][0] + 1 if left else START)
    if not left or left[-1][1] != value:
        left.append((at, value))


def _change(r: random.Random, line: Line) -> Line:
    limit, used, rate, status = line
    what = r.randrange(4)
    if what == 0:
        return (limit + r.randrange(1, 50) * 10**8, used, rate, status)
    if what == 1:
        return (limit, r.randrange(0, limit + 1), rate, status)
    if what == 2:
        return (limit, used, r.choice((300, 500, 700, 900)), status)
    return (limit, used, rate, r.choice(STATUS))


# ---- records


def _amount(units: int) -> str:
    return f"{units // 10**7}.{units % 10**7:07d}"


def _row(key: str, row: int, value: Line | str | None, last: Line) -> dict[str, object]:
    line = last if isinstance(value, str) or value is None else value
    return {
        "id": row,
        "wallet_address": key,
        "credit_limit": _amount(line[0]),
        "available_credit": _amount(line[0] - line[1]),
        "interest_rate_bps": line[2],
        "status": line[3],
        "deleted_at": "2026-01-01T00:00:00.000000Z" if value == "out" else None,
        "updated_at": None,
    }


Told = tuple[int, str, int, str | None, dict[str, object]]
"""(arrival, topic, order within the topic, key, value)."""


class World:
    """A seed's histories and their records. `records()` are lines of a recorded log in arrival order."""

    def __init__(self, seed: int, shape: Shape | None = None) -> None:
        self.shape = shape or Shape()
        self.random = random.Random(seed)
        self.histories = [
            build_history(self.random, f"G{seed:04d}KEY{i:05d}", i + 1, self.shape)
            for i in range(self.shape.keys)
        ]

    def records(self) -> list[dict[str, object]]:
        """All records; each topic-partition in its own order, the topics interleaved by arrival."""
        lines: list[dict[str, object]] = []
        for partition in range(self.shape.partitions):
            mine = [h for i, h in enumerate(self.histories) if i % self.shape.partitions == partition]
            told = [*self._left(mine), *self._right(mine)]
            offsets: dict[str, int] = {}
            for arrival, topic, _, key, value in sorted(told, key=lambda item: (item[0], item[1], item[2])):
                offset = offsets[topic] = offsets.get(topic, -1) + 1
                lines.append(
                    {
                        "topic": topic,
                        "partition": partition,
                        "offset": offset,
                        "timestamp": arrival // 1000,
                        "key": key,
                        "value": value,
                        "headers": {},
                    }
                )
        lines.sort(key=lambda line: line["timestamp"])  # type: ignore[arg-type,return-value]
        return lines

    def _delays(self, topic: str) -> tuple[int, int, int]:
        if not self.shape.stall:
            return 0, 0, self.random.randrange(50_000, 2 * S)
        start = START + self.random.randrange(0, self.shape.seconds) * S
        return start, start + self.random.randrange(20, 200) * S, self.random.randrange(50_000, 9 * S)

    def _left(self, histories: list[History]) -> Iterator[Told]:
        stall_from, stall_until, delay = self._delays("left")
        changes: list[tuple[int, str, dict[str, object]]] = []
        for history in histories:
            for row, pieces in history.rows.items():
                before: dict[str, object] | None = None
                last: Line = (0, 0, 0, "active")
                for at, value in pieces:
                    after = None if value is None else _row(history.key, row, value, last)
                    if isinstance(value, tuple):
                        last = value
                    if before is None and after is None:
                        continue
                    op = "c" if before is None else "d" if after is None else "u"
                    envelope = {"op": op, "before": before, "after": after}
                    changes.append((at + self.shape.clock_offset_us, history.key, envelope))
                    before = after
        end = START + (self.shape.seconds + 120) * S
        changes += [(at, "wm", {"op": "m"}) for at in range(START, end, S)]
        changes.sort(key=lambda change: change[0])
        arrival = 0
        for order, (at, key, envelope) in enumerate(changes):
            late = stall_until if stall_from <= at < stall_until else at
            arrival = max(arrival, late + delay)
            source = {
                "name": "db",
                "schema": "public",
                "table": "credit_lines",
                "ts_us": at,
                "lsn": 1000 + order,
            }
            if envelope["op"] == "m":
                content = base64.b64encode(json.dumps({"at": iso(at), "lsn": "0/0"}).encode()).decode()
                value = {"op": "m", "source": source, "message": {"prefix": "wm:0", "content": content}}
            else:
                value = envelope | {"source": source | {"txId": 700 + order}, "ts_ms": at // 1000}
            yield arrival, "db.changes", order * 2, key, value
            if self.random.random() < self.shape.duplicate_rate:
                yield arrival, "db.changes", order * 2 + 1, key, value

    def _right(self, histories: list[History]) -> Iterator[Told]:
        stall_from, stall_until, delay = self._delays("right")
        by_ledger: dict[int, list[tuple[History, Line | None]]] = {}
        for history in histories:
            for at, value in history.right:
                by_ledger.setdefault((at - START) // LEDGER_US, []).append((history, value))
        arrival = order = 0
        for ledger in range((self.shape.seconds + 120) * S // LEDGER_US):
            at = START + ledger * LEDGER_US
            late = stall_until if stall_from <= at < stall_until else at
            arrival = max(arrival, late + delay)
            told: list[tuple[str, dict[str, object]]] = []
            for n, (history, line) in enumerate(by_ledger.get(ledger, [])):
                event_id = f"{(1000 + ledger) << 32:019d}-{n:010d}"
                common = {"network": "n", "contract": CONTRACT, "key": history.key}
                told.append((history.key, common | _event(ledger, at, event_id)))
                told.append((history.key, common | _entry(ledger, at, event_id, history.key, line)))
            told.sort(key=lambda item: str(item[1]["kind"]) == "entry")
            mark = {"kind": "mark", "network": "n", "ledger": 1000 + ledger, "closed_at": iso(at)}
            told.append(("mark", mark | {"from_ledger": 1000 + ledger}))
            for key, value in told:
                order += 2
                yield arrival, "chain.events", order, key, value
                if value["kind"] != "mark" and self.random.random() < self.shape.duplicate_rate:
                    yield arrival, "chain.events", order + 1, key, value

    # ---- truth

    def truth(self, key: str) -> list[tuple[int, int]]:
        """The violations of a key, each [from, until): every instant at which some field is not in sync."""
        history = next(h for h in self.histories if h.key == key)
        shape = self.shape
        before, after = shape.lead_us + shape.skew_us, shape.lag_us + shape.skew_us
        cuts = {START - 1}
        for pieces in history.rows.values():
            cuts.update(at + shape.clock_offset_us for at, _ in pieces)
        for at, _ in history.right:
            cuts.update((at, at - before, at + after))
        points = [*sorted(cuts), START + (shape.seconds + 600) * S]
        violations: list[tuple[int, int]] = []
        for start, until in pairwise(points):
            if self._in_sync(history, start, before, after):
                continue
            if violations and violations[-1][1] == start:
                violations[-1] = (violations[-1][0], until)
            else:
                violations.append((start, until))
        return violations

    def _left_at(self, history: History, at: int) -> tuple[object, ...] | str | None:
        present: list[tuple[object, ...]] = []
        hidden = False
        for pieces in history.rows.values():
            value = _at(pieces, at - self.shape.clock_offset_us)
            if isinstance(value, tuple):
                present.append(_fields(history.key, value))
            hidden = hidden or value == "out"
        if len(present) > 1:
            return "duplicate"
        return present[0] if present else None

    def _in_sync(self, history: History, at: int, before: int, after: int) -> bool:
        left = self._left_at(history, at)
        near = [_at(history.right, at - after)]
        near += [value for moment, value in history.right if at - after < moment <= at + before]
        rights = [None if value is None else _fields(history.key, value) for value in near]
        if left is None:
            return None in rights
        if not isinstance(left, tuple):
            return False
        if all(value is None for value in rights):
            return False
        return all(any(v is None or v[i] == left[i] for v in rights) for i in range(len(left)))


def _fields(key: str, line: Line) -> tuple[object, ...]:
    return key, line[0], line[3], line[0] - line[1], line[2]


def _at(
    pieces: list[tuple[int, Line | None]] | list[tuple[int, Line | str | None]], at: int
) -> Line | str | None:
    value: Line | str | None = None
    for moment, held in pieces:
        if moment > at:
            break
        value = held
    return value


def _event(ledger: int, at: int, event_id: str) -> dict[str, object]:
    return {
        "kind": "event",
        "ledger": 1000 + ledger,
        "closed_at": iso(at),
        "tx": f"{ledger:064x}",
        "id": event_id,
        "type": "contract",
        "topics": [{"symbol": "credit"}, {"symbol": "drawn"}],
        "data": {"map": []},
        "entries": ["credit-line"],
    }


def _entry(ledger: int, at: int, event_id: str, key: str, line: Line | None) -> dict[str, object]:
    value = None
    if line is not None:
        value = {
            "borrower": key,
            "credit_limit": str(line[0]),
            "utilized_amount": str(line[1]),
            "interest_rate_bps": line[2],
            "status": line[3],
        }
    return {
        "kind": "entry",
        "entry": "credit-line",
        "exists": line is not None,
        "value": value,
        "modified_ledger": 1000 + ledger,
        "modified_at": iso(at),
        "read_ledger": 1000 + ledger,
        "read_at": iso(at),
        "cause": "event",
        "event_id": event_id,
    }

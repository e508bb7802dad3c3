"""What the detector and a replay cost on this machine: best of three, for `tests.bench`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import orjson

from app.clock import SystemClock
from app.detector.detector import Detector
from app.detector.model import (
    ABSENT,
    SECOND,
    EntryEvent,
    EntryRead,
    Input,
    Mark,
    Observation,
    RowChange,
    Rule,
    Side,
    Value,
)
from app.replay import Replay
from app.rules import LoadedRule, load_rules
from app.settings import RULES_FOLDER
from app.stream.state import encode_left, encode_right
from app.wiring import build_codecs
from tests.simulation.world import START, Shape, World

CLOCK = SystemClock()
ROUNDS = 3


class _Core(NamedTuple):
    """Figures of one round."""

    events_per_s: float
    idle_mark_us: float
    due_key_us: float


def measure_core(keys: int = 20_000, changes: int = 4) -> dict[str, float]:
    """Observations a second with marks and verdicts; a mark that finds nobody due; a mark per due key;
    bytes that a quiet key takes up in the tables."""
    rounds = [_measure_round(keys, changes) for _ in range(ROUNDS)]
    events_per_s = max(found.events_per_s for found in rounds)
    return {
        "detector_events_per_s": round(events_per_s),
        "detector_us_per_event": round(1e6 / events_per_s, 2),
        "detector_idle_mark_us": round(min(found.idle_mark_us for found in rounds), 2),
        "detector_us_per_due_key": round(min(found.due_key_us for found in rounds), 2),
        "detector_bytes_per_quiet_key": round(_bytes_of_quiet_key(), 1),
    }


def measure_replay(records: int = 100_000) -> dict[str, float]:
    """Records of a recorded log per second, decoding included."""
    lines = _recorded(records)
    seconds = min(_timed(lambda: _replay(lines)) for _ in range(ROUNDS))
    return {
        "replay_records_per_s": round(len(lines) / seconds),
        "replay_us_per_record": round(seconds / len(lines) * 1e6, 2),
    }


def _timed(work: Callable[[], object]) -> float:
    started = CLOCK.monotonic_s()
    work()
    return CLOCK.monotonic_s() - started


def _rule() -> LoadedRule:
    [loaded] = load_rules([RULES_FOLDER / "credit.yaml"], {}, lenient_environment=True)
    return loaded


# ---- the core


def _measure_round(keys: int, changes: int) -> _Core:
    rule = _rule().rule
    detector = Detector(rule, from_empty=True)
    told = list(_busy(rule, keys, changes))
    observations = sum(not isinstance(item, Mark) for item in told)
    busy_s = _timed(lambda: _feed(detector, told))
    at = max(detector.watermarks()) + 600 * SECOND
    _feed(detector, [Mark(Side.LEFT, None, at), Mark(Side.RIGHT, None, at)])
    idle = [Mark(Side.LEFT, None, at + n) for n in range(1, 10_001)]
    idle_s = _timed(lambda: _feed(detector, idle))
    moved = [item for item in _busy(rule, keys, 1, first_lsn=changes, start=at + 100 * SECOND)]
    _feed(detector, [item for item in moved if not isinstance(item, Mark)])
    late = at + 10_000 * SECOND
    _feed(detector, [Mark(Side.LEFT, None, late)])
    due_s = _timed(lambda: _feed(detector, [Mark(Side.RIGHT, None, late)]))
    return _Core(observations / busy_s, idle_s / len(idle) * 1e6, due_s / keys * 1e6)


def _feed(detector: Detector, told: list[Input]) -> None:
    observe, advance = detector.observe, detector.advance
    for item in told:
        if type(item) is Mark:
            advance(item)
        else:
            observe(item)  # type: ignore[arg-type]


def _busy(rule: Rule, keys: int, changes: int, first_lsn: int = 0, start: int = START) -> Iterator[Input]:
    """Every key changes on the chain, its row follows three seconds later; a mark of each side a second."""
    for change in range(changes):
        for second in range(20):
            at = start + (change * 40 + second) * SECOND
            for number in range(second, keys, 20):
                yield from _followed(rule, f"G{number:055d}", first_lsn + change, at)
            yield Mark(Side.RIGHT, None, at)
            yield Mark(Side.LEFT, None, at + 3 * SECOND)


def _followed(rule: Rule, key: str, change: int, at: int) -> Iterator[Observation]:
    value = _value(key, change)
    ledger, event_id = at // SECOND, f"{at:019d}-0000000000"
    yield EntryEvent(rule.id, key, ledger, at, "ab" * 32, event_id)
    yield EntryRead(rule.id, key, value, ledger, at, ledger, at, event_id)
    before: Value = _value(key, change - 1) if change else ABSENT
    yield RowChange(rule.id, key, int(key[1:]), change + 1, at + 3 * SECOND, before, value, change)


def _value(key: str, change: int) -> Value:
    return (key, 10_000_000_000 + change, "active", 10_000_000_000 - change, 300)


def _bytes_of_quiet_key(keys: int = 5_000) -> float:
    detector = Detector(_rule().rule, from_empty=True)
    _feed(detector, list(_busy(detector.rule, keys, 2)))
    at = max(detector.watermarks()) + 600 * SECOND
    _feed(detector, [Mark(Side.LEFT, None, at), Mark(Side.RIGHT, None, at)])
    total = 0
    for state in detector.states.values():
        total += len(encode_left(state.left)) if state.left is not None else 0
        total += len(encode_right(state.right)) if state.right is not None else 0
    return total / keys


# ---- a replay


def _recorded(records: int) -> list[bytes]:
    """The first lines of the log of one world: keys enough for so many, marks among them."""
    shape = Shape(keys=records // 60, seconds=900, drift_rate=0.05)
    lines = [orjson.dumps(record) + b"\n" for record in World(1, shape).records()]
    return lines[:records]


def _replay(lines: list[bytes]) -> None:
    loaded = _rule()
    Replay([loaded.rule], build_codecs([loaded]), lambda line: None, from_empty=True).run(lines)

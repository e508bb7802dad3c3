"""Laws of the detector over small random histories, against a naive model and under any order."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from app.detector.detector import Detector
from app.detector.model import (
    ABSENT,
    DUPLICATE,
    INFINITY,
    OUT,
    UNKNOWN,
    EntryEvent,
    EntryRead,
    Field,
    FieldType,
    Input,
    Mark,
    RowChange,
    Rule,
    Side,
    Transition,
    Value,
    Window,
)
from app.detector.segments import EXISTENCE, Comparison, find_cover, find_segments
from app.detector.timeline import KeyState, Version
from app.stream.state import (
    decode_key,
    decode_partition,
    encode_left,
    encode_partition,
    encode_record,
    encode_right,
)

FIELDS = (Field("a", FieldType.INTEGER, absolute=1), Field("b", FieldType.TEXT))
LAG, LEAD, SKEW, MIN = 6, 3, 1, 2
RULE = Rule("r", 1, FIELDS, Window(LAG, LEAD, SKEW, MIN), hysteresis_us=3, reopen_us=15)
END = 40

PRESENT = st.tuples(st.integers(0, 3), st.sampled_from("xy"))
LEFT_VALUES = PRESENT | st.sampled_from([ABSENT, OUT, UNKNOWN, DUPLICATE])
RIGHT_VALUES = PRESENT | st.sampled_from([ABSENT, OUT, UNKNOWN])


def timelines(values: st.SearchStrategy[Value]) -> st.SearchStrategy[list[Version]]:
    """Versions from the beginning of time, each at an instant of its own."""
    return st.tuples(values, st.dictionaries(st.integers(0, END), values, max_size=6)).map(
        lambda drawn: [
            Version(-INFINITY, -1, drawn[0], None),
            *(Version(at, at, value, ("t", "e")) for at, value in sorted(drawn[1].items())),
        ]
    )


def in_force(versions: Sequence[Version], at: int) -> Value:
    return [version.value for version in versions if version.at <= at][-1]


def naive(left: Sequence[Version], right: Sequence[Version], at: int) -> tuple[str, int]:
    """The verdict of one instant, from the definition: every instant of the window is looked at."""
    mine = in_force(left, at)
    others = {in_force(right, s) for s in range(at - LAG - SKEW, at + LEAD + SKEW + 1)}
    if mine == UNKNOWN:
        return "unknown", 0
    if mine == OUT or OUT in others or mine in others:
        return "ok", 0
    missing = 0
    if not isinstance(mine, tuple) or not any(isinstance(other, tuple) for other in others):
        missing |= EXISTENCE
    if isinstance(mine, tuple) and ABSENT not in others:
        for bit, same in ((1, lambda o: abs(o[0] - mine[0]) <= 1), (2, lambda o: o[1] == mine[1])):
            if not any(isinstance(other, tuple) and same(other) for other in others):
                missing |= bit
    if not missing:
        return "ok", 0
    return ("unknown", 0) if UNKNOWN in others else ("bad", missing)


@settings(max_examples=300, deadline=None)
@given(timelines(LEFT_VALUES), timelines(RIGHT_VALUES), st.integers(0, 20), st.integers(1, 20))
def test_segments_are_what_each_instant_says(
    left: list[Version], right: list[Version], start: int, length: int
) -> None:
    end = start + length

    segments, later = find_segments(Comparison(RULE), "k", left, right, (start, end))

    assert [segment.start for segment in segments][1:] == [segment.until for segment in segments][:-1]
    assert (segments[0].start, segments[-1].until) == (start, end)
    for segment in segments:
        for at in range(segment.start, segment.until):
            assert (segment.kind, segment.mask) == naive(left, right, at)
    same = naive(left, right, end)
    for at in range(end, min(later, END + LAG + SKEW + 2)):
        assert naive(left, right, at) == same


@settings(max_examples=300, deadline=None)
@given(timelines(LEFT_VALUES), timelines(RIGHT_VALUES), st.integers(0, 20), st.integers(1, 20))
def test_the_short_way_says_in_sync_only_where_every_instant_is(
    left: list[Version], right: list[Version], start: int, length: int
) -> None:
    end = start + length

    cover = find_cover(Comparison(RULE), left, right, start, end)

    verdicts = [naive(left, right, at)[0] for at in range(start, end)]
    if cover is not None:
        assert set(verdicts) == {"ok"}
        moves = [version.at for version in left if version.at >= end]
        for at in range(end, min([cover, END + LAG + SKEW + 2, *moves])):
            assert naive(left, right, at)[0] == "ok"


# ---- whole histories

CHANGES = st.lists(st.tuples(st.integers(1, 4), PRESENT | st.sampled_from([ABSENT, OUT])), max_size=8)
ENTRIES = st.lists(st.tuples(st.integers(1, 6), PRESENT | st.just(ABSENT)), max_size=8)


def left_stream(changes: list[tuple[int, Value]]) -> list[Input]:
    """Changes of one row with full before-images, and a mark every third instant."""
    found: list[tuple[int, int, Input]] = [(at, 0, Mark(Side.LEFT, None, at - 1)) for at in range(0, 90, 3)]
    at, before = 0, ABSENT
    for lsn, (pause, after) in enumerate(changes, 1):
        at += pause
        found.append((at, 1, RowChange("r", "k", 1, lsn, at, before, after, lsn)))
        before = after  # type: ignore[assignment]
    return [item for _, _, item in sorted(found, key=lambda told: told[:2])]


def right_stream(entries: list[tuple[int, Value]]) -> list[Input]:
    """A ledger an instant; the last change of each is told and read."""
    found: list[tuple[int, int, Input]] = [
        (ledger, 2, Mark(Side.RIGHT, None, ledger, None, ledger, max(0, ledger - 3)))
        for ledger in range(0, 100, 4)
    ]
    ledger = 0
    for pause, value in entries:
        ledger += pause
        found.append((ledger, 0, EntryEvent("r", "k", ledger, ledger, "t", str(ledger))))
        read = EntryRead("r", "k", value, ledger, ledger, ledger, ledger, str(ledger))
        found.append((ledger, 1, read))
    return [item for _, _, item in sorted(found, key=lambda told: told[:2])]


def feed(detector: Detector, item: Input) -> list[Transition]:
    take: Callable[[object], list[object]] = (
        detector.advance if isinstance(item, Mark) else detector.observe  # type: ignore[assignment]
    )
    told = [effect for effect in take(item) if isinstance(effect, Transition)]
    detector.step_done()
    return told


def payloads(told: list[Transition]) -> dict[str, str]:
    return {transition.ce_id: json.dumps(transition.value) for transition in told}


def restored(detector: Detector) -> Detector:
    """The same detector through its durable form."""
    again = Detector(RULE, from_empty=True)
    states, _, _ = decode_partition(encode_partition({"r": detector.partition_state()}, {}, []))
    again.restore_partition(states["r"])
    for key, state in detector.states.items():
        again.restore(key, through_bytes(state))
    return again


def through_bytes(state: KeyState) -> KeyState:
    left = None if state.left is None else encode_left(state.left)
    right = None if state.right is None else encode_right(state.right)
    record = encode_record(state.record, state.suspect)
    return decode_key(left, right, record) or KeyState()


def test_a_change_just_after_t_is_not_forgotten() -> None:
    """The case that the law below found: T stood one instant before the last change."""
    changes: list[tuple[int, Value]] = [(3, (0, "x")), (10, (0, "y"))]
    detector, told = Detector(RULE, from_empty=True), []
    for item in [*left_stream(changes), *right_stream([(2, (0, "x"))])]:
        told += feed(detector, item)
    assert [transition.value["transition"] for transition in told] == ["opened"]


@settings(max_examples=200, deadline=None)
@given(CHANGES, ENTRIES, st.data())
def test_order_duplicates_and_restoring_change_nothing(
    changes: list[tuple[int, Value]], entries: list[tuple[int, Value]], data: st.DataObject
) -> None:
    streams = [left_stream(changes), right_stream(entries)]
    plain, expected = Detector(RULE, from_empty=True), []
    for item in [*streams[0], *streams[1]]:
        expected += feed(plain, item)

    detector, told = Detector(RULE, from_empty=True), []
    while any(streams):
        stream = data.draw(st.sampled_from([stream for stream in streams if stream]))
        batch, stream[:] = stream[:7], stream[7:]
        for item in batch:
            told += feed(detector, item)
        if data.draw(st.booleans()):
            for item in batch:
                told += feed(detector, item)
        if data.draw(st.booleans()):
            detector = restored(detector)

    assert payloads(told) == payloads(expected)
    assert len(told) == len(expected)

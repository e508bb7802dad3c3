"""The durable form of states: nothing is lost, quiet keys are small, equal ones are told from others."""

from __future__ import annotations

import pytest

from app.detector.model import ABSENT, INFINITY, UNKNOWN, EntryAsOf, RowAsOf, Snapshot, Value
from app.detector.timeline import EpisodeRecord, LeftState, RightState, RowState, Version
from app.stream import state

HASH = "ab" * 32
SNAPSHOT = Snapshot(5, 9, frozenset({6, 7}))
QUIET_LEFT = LeftState(
    7, {1: RowState(26712, [Version(101, 26712, (10**30, "a", True), (26712, 7, None))])}, laid=2
)
QUIET_RIGHT = RightState([Version(100, 9, (10**30, "a", True), (HASH, "9-0"))], 7, 9, 105, 3)


def waiting_left() -> LeftState:
    rows: dict[int | str, RowState] = {
        1: RowState(-1, [Version(-INFINITY, -1, UNKNOWN, None)]),
        '["a",2]': RowState(8, [Version(5, 7, ABSENT, (7, None, "GB")), Version(6, 8, (1,), (8, 9, None))]),
    }
    reads = [RowAsOf("r", "k", 1, (1, "x"), SNAPSHOT, 50), RowAsOf("r", "k", None, ABSENT, SNAPSHOT, 51)]
    return LeftState(-INFINITY, rows, reads, 1, [Version(3, -1, UNKNOWN, None)])


def waiting_right() -> RightState:
    versions = [Version(-INFINITY, -1, UNKNOWN, None), Version(5, 1, (2**70, None), ("not hex" * 8, "e"))]
    right = RightState([*versions, Version(6, 2, (1, "z"), ("AB" * 32, None))], -INFINITY, 2, -INFINITY, 1)
    right.waiting = [EntryAsOf("r", "k", (1, "x"), 3, None, 4, 50), EntryAsOf("r", "k", ABSENT, -1, 7, 4, 51)]
    return right


def plain(held: object) -> object:
    """A state as plain values, to be compared."""
    if isinstance(held, dict):
        return {key: plain(value) for key, value in held.items()}
    if hasattr(held, "__slots__") and not isinstance(held, tuple):
        return {name: plain(getattr(held, name)) for name in held.__slots__}
    return held


@pytest.mark.parametrize("left", [QUIET_LEFT, waiting_left(), LeftState()])
def test_a_left_side_comes_back_as_it_was(left: LeftState) -> None:
    assert plain(state.decode_left(state.encode_left(left))) == plain(left)


@pytest.mark.parametrize("right", [QUIET_RIGHT, waiting_right()])
def test_a_right_side_comes_back_as_it_was(right: RightState) -> None:
    assert plain(state.decode_right(state.encode_right(right))) == plain(right)


@pytest.mark.parametrize("trace", [None, (None, "e"), ("zz" * 32, "e"), ("AB" * 32, "e"), (HASH, None)])
def test_every_trace_comes_back_as_it_was(trace: tuple[object, ...] | None) -> None:
    right = RightState([Version(1, 1, (1,), trace)])
    assert state.decode_right(state.encode_right(right)).versions == right.versions


def test_an_episode_record_comes_back_as_it_was() -> None:
    record = EpisodeRecord(9, "open", "e" * 32, 5)
    record.until, record.sequence, record.flaps, record.severity, record.is_doubted = 7, 3, 1, "high", True
    record.last = [{"field": "limit", "left": "1", "right": None}]
    stored = state.encode_record(record, None)
    assert stored is not None
    told, suspect = state.decode_record(stored)
    assert suspect is None
    assert told is not None
    assert plain(told) == plain(record)


def test_a_value_too_long_for_the_quiet_form_comes_back_as_it_was() -> None:
    value: Value = ("x" * 70_000,)
    right = RightState([Version(1, 1, value, None)])
    left = LeftState(0, {1: RowState(1, [Version(1, 1, value, None)])})
    assert state.decode_right(state.encode_right(right)).versions == right.versions
    assert plain(state.decode_left(state.encode_left(left))) == plain(left)


def test_a_key_of_which_nothing_is_held_is_none() -> None:
    assert state.decode_key(None, None, None) is None


def test_a_key_is_what_is_held_of_it() -> None:
    found = state.decode_key(state.encode_left(QUIET_LEFT), None, None)
    assert found is not None
    assert plain(found.left) == plain(QUIET_LEFT)
    assert (found.right, found.record) == (None, None)


def test_a_quiet_pair_in_agreement_is_settled_whatever_brought_it() -> None:
    left, right = state.encode_left(QUIET_LEFT), state.encode_right(QUIET_RIGHT)
    assert state.is_settled(left, right, None)
    assert len(left) + len(right) < 200


@pytest.mark.parametrize(
    ("left", "right", "record"),
    [
        (None, QUIET_RIGHT, None),
        (QUIET_LEFT, None, None),
        (QUIET_LEFT, QUIET_RIGHT, EpisodeRecord(1, "open", "e", 1)),
        (QUIET_LEFT, RightState([Version(100, 9, (2,), None)]), None),
        (QUIET_LEFT, waiting_right(), None),
        (waiting_left(), QUIET_RIGHT, None),
        (
            LeftState(0, {1: RowState(1, [Version(1, 1, ABSENT, None)])}),
            RightState([Version(1, 1, ABSENT, None)]),
            None,
        ),
    ],
)
def test_everything_else_is_looked_at(
    left: LeftState | None, right: RightState | None, record: EpisodeRecord | None
) -> None:
    assert not state.is_settled(
        None if left is None else state.encode_left(left),
        None if right is None else state.encode_right(right),
        state.encode_record(record, None),
    )


def test_a_partition_s_record_comes_back_with_tuples() -> None:
    rules = {"r": [[1, None, ["x", 2**80]], []]}
    offsets = {"db.changes": 17}
    assert state.decode_partition(state.encode_partition(rules, offsets, [True, False])) == (
        {"r": ((1, None, ("x", 2**80)), ())},
        offsets,
        [True, False],
    )


def test_a_strange_extension_is_refused() -> None:
    strange = b"\x01" + b"\x92\xd4\x07\x00\x80"
    with pytest.raises(ValueError, match="extension 7"):
        state.decode_partition(strange)

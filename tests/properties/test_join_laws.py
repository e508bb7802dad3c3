"""A joined left side is what a LEFT JOIN at every instant gives, whatever comes first, and however often."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from app.detector.detector import Detector
from app.detector.join import join_rows, joined_row
from app.detector.model import (
    ABSENT,
    DUPLICATE,
    SECOND,
    EntryEvent,
    EntryRead,
    Field,
    FieldType,
    Input,
    Mark,
    RowChange,
    RowId,
    Rule,
    Side,
    Transition,
    Value,
)
from app.detector.panel import Panel
from app.detector.timeline import BIRTH, RowState

RULE = Rule("r", 1, (Field("name", FieldType.TEXT), Field("total", FieldType.INTEGER)), joined=(1,))
END = 400

own_values = st.sampled_from([ABSENT, ("a", 0), ("b", 0)])
joined_values = st.sampled_from([ABSENT, (None, 1), (None, 2)])
seconds = st.integers(1, END - 200)
own_changes = st.lists(st.tuples(seconds, own_values), max_size=4)
joined_changes = st.lists(st.tuples(seconds, joined_values), max_size=4)
entries = st.lists(
    st.tuples(st.integers(1, (END - 200) // 5), st.sampled_from([("a", 0), ("a", 1), ("b", 2), ABSENT])),
    max_size=4,
)


def changes_of(row: RowId, listed: Sequence[tuple[int, Value]], first: int) -> list[RowChange]:
    """A row's life in the log's order, with its before-images."""
    found: list[RowChange] = []
    before: Value = ABSENT
    for number, (at, value) in enumerate(sorted(listed, key=lambda each: each[0])):
        lsn = first + 10 * number + at * 1000
        found.append(RowChange("r", "k", row, lsn, at * SECOND, before, value, lsn))
        before = value
    return found


def entry_inputs(listed: Sequence[tuple[int, Value]]) -> list[Input]:
    found: list[Input] = []
    for ledger, value in sorted(dict(listed).items()):
        at, name = ledger * 5 * SECOND, f"{ledger:019d}-0"
        found.append(EntryEvent("r", "k", ledger, at, "tx", name))
        found.append(EntryRead("r", "k", value, ledger, at, ledger, at, name))
    return found


def told(inputs: Sequence[Input]) -> list[tuple[str, object]]:
    """What is published when the watermarks come after everything."""
    panel = Panel([Detector(RULE, from_empty=True, confirmed="replay")])
    effects = [effect for each in inputs for effect in panel.take(each)]
    effects += panel.take(Mark(Side.LEFT, "db", END * SECOND - 1))
    effects += panel.take(Mark(Side.RIGHT, "net", END * SECOND, None, END // 5, 0))
    return [(each.ce_id, each.value) for each in effects if isinstance(each, Transition)]


@given(own_changes, joined_changes, joined_changes, entries, st.data())
def test_any_order_and_repeats_publish_the_same(
    own: list[tuple[int, Value]],
    first: list[tuple[int, Value]],
    second: list[tuple[int, Value]],
    right: list[tuple[int, Value]],
    data: st.DataObject,
) -> None:
    streams: list[list[Input]] = [
        [*changes_of(1, own, 1)],
        [*changes_of(joined_row(1), first, 2)],
        [*changes_of(joined_row(2), second, 3)],
        entry_inputs(right),
    ]
    plain = [each for stream in streams for each in stream]
    order = data.draw(st.permutations([n for n, stream in enumerate(streams) for _ in stream]))
    left = [iter(stream) for stream in streams]
    mixed = [next(left[n]) for n in order]
    again = data.draw(st.integers(0, len(mixed)))
    assert told(mixed + mixed[again:]) == told(plain)


@given(own_changes, joined_changes, joined_changes)
def test_every_instant_is_a_left_join(
    own: list[tuple[int, Value]], first: list[tuple[int, Value]], second: list[tuple[int, Value]]
) -> None:
    detector = Detector(RULE, from_empty=True)
    lives = {1: own, joined_row(1): first, joined_row(2): second}
    for number, (row, listed) in enumerate(lives.items()):
        for change in changes_of(row, listed, number):
            detector.observe(change)
    state = detector.snapshot("k")
    rows: dict[RowId, RowState] = {} if state is None or state.left is None else state.left.rows
    pieces = join_rows(rows, [BIRTH], RULE.joined)
    for second_ in range(END):
        at = second_ * SECOND
        found = [piece.value for piece in pieces if piece.at <= at][-1]
        assert found == naive([held_at(listed, second_) for listed in lives.values()])


def held_at(listed: Sequence[tuple[int, Value]], at: int) -> Value:
    held = [value for begun, value in sorted(listed, key=lambda each: each[0]) if begun <= at]
    return held[-1] if held else ABSENT


def naive(values: Sequence[Value]) -> Value:
    own, *joined = values
    present = [value for value in joined if isinstance(value, tuple)]
    if not isinstance(own, tuple) or not present:
        return own
    return DUPLICATE if len(present) > 1 else (own[0], present[0][1])

"""Versions of one key: inserted, limited, merged over rows, forgotten; what a snapshot sees."""

from __future__ import annotations

import pytest

from app.detector.model import (
    ABSENT,
    DUPLICATE,
    INFINITY,
    OUT,
    UNKNOWN,
    EntryAsOf,
    RowAsOf,
    Snapshot,
    Value,
)
from app.detector.timeline import (
    BIRTH,
    LeftState,
    RightState,
    RowState,
    Suspect,
    Version,
    forget_versions,
    insert,
    is_visible,
    limit_versions,
    merge_rows,
)
from tests.support.detecting import rule_of

KNOWN = [BIRTH]
SEEN = Snapshot(1, 1, frozenset())
UNSEEDED = [Version(-INFINITY, -1, UNKNOWN, None), Version(100, -1, ABSENT, None)]


def version(at: int, value: Value, position: int = 1) -> Version:
    return Version(at, position, value, (position, position, None))


def row(*versions: Version) -> RowState:
    return RowState(versions[-1].position, list(versions))


def test_a_new_value_begins_a_version() -> None:
    versions = [BIRTH]

    assert insert(versions, version(10, (1,)))
    assert [(v.at, v.value) for v in versions] == [(-INFINITY, ABSENT), (10, (1,))]


def test_an_unchanged_value_makes_no_version() -> None:
    versions = [version(10, (1,))]

    assert not insert(versions, version(20, (1,), 2))
    assert versions == [version(10, (1,))]


def test_at_equal_time_the_later_position_wins() -> None:
    versions = [BIRTH, version(10, (1,))]

    assert insert(versions, version(10, (2,), 2))
    assert versions == [BIRTH, version(10, (2,), 2)]


def test_no_piece_is_empty_when_a_value_returns_at_once() -> None:
    versions = [version(5, (1,)), version(10, (2,), 2)]

    assert insert(versions, version(10, (1,), 3))
    assert versions == [version(5, (1,))]


def test_the_only_version_is_replaced_at_equal_time() -> None:
    versions = [version(5, (1,))]

    assert insert(versions, version(5, (1,), 2))
    assert versions == [version(5, (1,), 2)]


def test_few_and_small_versions_are_kept() -> None:
    versions = [version(n, (n,)) for n in range(4)]

    assert not limit_versions(versions, rule_of(max_versions=4))


def test_the_oldest_half_of_too_many_becomes_one_unknown_piece() -> None:
    versions = [version(n, (n,)) for n in range(7)]

    assert limit_versions(versions, rule_of(max_versions=6))
    assert [(v.at, v.value) for v in versions] == [(0, (0,)), (1, UNKNOWN), (4, (4,)), (5, (5,)), (6, (6,))]


def test_only_the_newest_of_huge_versions_is_kept() -> None:
    versions = [version(n, (str(n) * 600,)) for n in range(3)]

    assert limit_versions(versions, rule_of(max_bytes=1000))
    assert [(v.at, v.value) for v in versions][:2] == [(0, ("0" * 600,)), (1, UNKNOWN)]
    assert not limit_versions(versions, rule_of(max_bytes=1000))


def test_versions_are_kept_while_they_take_no_more_room_than_is_allowed() -> None:
    versions = [version(n, (n,)) for n in range(3)]

    assert not limit_versions(versions, rule_of(max_bytes=3 * 72))
    assert limit_versions(versions, rule_of(max_bytes=3 * 72 - 1))
    assert [v.value for v in versions] == [(0,), UNKNOWN, (2,)]


def test_half_of_what_there_is_room_for_is_kept() -> None:
    versions = [version(n, (n,)) for n in range(12)]

    assert limit_versions(versions, rule_of(max_bytes=10 * 72))
    assert [v.at for v in versions] == [0, 1, 7, 8, 9, 10, 11]


def test_two_huge_versions_cannot_be_fewer() -> None:
    versions = [version(n, (str(n) * 600, 1)) for n in range(2)]

    assert not limit_versions(versions, rule_of(max_bytes=1000))


def test_an_unknown_version_weighs_as_little_as_an_absence() -> None:
    versions = [version(0, (1,)), version(1, UNKNOWN), version(2, ABSENT)]

    assert not limit_versions(versions, rule_of(max_bytes=200))


def test_one_row_is_its_own_timeline() -> None:
    only = row(BIRTH, version(10, (1,)))

    assert merge_rows({1: only}, KNOWN) is only.versions


@pytest.mark.parametrize(
    ("first", "second", "merged"),
    [
        ((1,), ABSENT, (1,)),
        ((1,), (1,), DUPLICATE),
        ((1,), (2,), DUPLICATE),
        ((1,), OUT, (1,)),
        (OUT, ABSENT, OUT),
        (ABSENT, ABSENT, ABSENT),
        ((1,), UNKNOWN, UNKNOWN),
    ],
)
def test_rows_under_one_key_make_one_value(first: Value, second: Value, merged: Value) -> None:
    pieces = merge_rows({1: row(version(5, first, 1)), 2: row(version(5, second, 2))}, KNOWN)

    assert [piece.value for piece in pieces] == [merged]


def test_the_trace_is_of_the_newest_among_the_rows_that_make_the_value() -> None:
    rows = {1: row(BIRTH, version(5, (1,), 1)), 2: row(BIRTH, version(3, (2,), 2), version(9, ABSENT, 3))}

    last = merge_rows(rows, KNOWN)[-1]

    assert (last.at, last.value, last.trace, last[-1]) == (9, (1,), (1, 1, None), 5)


def test_a_row_that_begins_later_does_not_count_before() -> None:
    rows = {1: row(version(5, (1,), 1)), 2: row(version(8, (2,), 2))}

    assert [(p.at, p.value) for p in merge_rows(rows, KNOWN)] == [(5, (1,)), (8, DUPLICATE)]


def test_without_a_seed_no_row_in_scope_is_unknown_and_one_in_scope_is_known() -> None:
    rows = {
        1: row(BIRTH, version(50, (1,)), version(60, OUT, 2), version(150, (1,), 3), version(160, ABSENT, 4))
    }

    assert [(p.at, p.value) for p in merge_rows(rows, UNSEEDED)] == [
        (-INFINITY, UNKNOWN),
        (50, (1,)),
        (60, UNKNOWN),
        (100, OUT),
        (150, (1,)),
        (160, ABSENT),
    ]


def test_one_row_that_is_out_of_scope_is_unknown_where_others_are() -> None:
    others = [Version(-INFINITY, -1, UNKNOWN, None)]

    assert [p.value for p in merge_rows({1: row(version(5, OUT))}, others)] == [UNKNOWN]


def test_a_change_gives_the_trace_before_what_only_a_read_has_brought() -> None:
    rows = {1: row(version(0, ABSENT, 0)), 2: row(Version(9, -1, ABSENT, None))}

    last = merge_rows(rows, KNOWN)[-1]

    assert (last.at, last.trace) == (9, (0, 0, None))


def test_a_row_that_was_always_in_scope_needs_no_seed() -> None:
    only = row(version(50, (1,)))

    assert merge_rows({1: only}, UNSEEDED) is only.versions


@pytest.mark.parametrize(
    ("transaction", "is_seen"),
    [(None, True), (9, True), (10, False), (11, True), (12, False), (13, False)],
)
def test_a_snapshot_sees_what_had_committed(transaction: int | None, is_seen: bool) -> None:
    assert is_visible(transaction, Snapshot(10, 12, frozenset({10}))) is is_seen


def test_ids_of_transactions_are_compared_modulo_two_to_the_32() -> None:
    snapshot = Snapshot(2**32 + 5, 2**32 + 8, frozenset({2**32 + 6}))

    assert is_visible(2**32 - 3, snapshot)
    assert is_visible(5, snapshot)
    assert not is_visible(6, snapshot)
    assert not is_visible(8, snapshot)


def test_half_of_all_ids_are_before_and_half_are_after() -> None:
    snapshot = Snapshot(2**40 + 2**31, 2**40 + 2**31, frozenset())

    assert is_visible(1, snapshot)
    assert not is_visible(0, snapshot)


def test_a_read_as_old_as_the_question_answers_it() -> None:
    suspect = Suspect(since=50, not_before=(100, 20))

    suspect.note_row(RowAsOf("r", "K", None, ABSENT, SEEN, 99), is_conclusive=True)
    suspect.note_entry(EntryAsOf("r", "K", ABSENT, -1, None, 19, 95))
    assert (suspect.left_at, suspect.right_at, suspect.confirmed_through) == (None, None, -INFINITY)
    suspect.note_row(RowAsOf("r", "K", 1, (1,), SEEN, 100), is_conclusive=True)
    assert suspect.left_at is None, "the one without a row is still to come"
    suspect.note_row(RowAsOf("r", "K", None, ABSENT, SEEN, 100), is_conclusive=True)
    suspect.note_entry(EntryAsOf("r", "K", ABSENT, -1, None, 20, 120))
    assert (suspect.left_at, suspect.right_at, suspect.confirmed_through) == (100, 120, 100)


def test_a_state_begins_with_nothing_known_and_nothing_laid_over_it() -> None:
    left, right = LeftState(), RightState([BIRTH])

    assert (left.horizon, left.laid, left.rows, left.waiting, left.others) == (-INFINITY, 0, {}, [], None)
    assert (right.horizon, right.position, right.certain, right.laid) == (-INFINITY, -1, -INFINITY, 0)


def test_what_ended_is_forgotten_and_what_is_in_force_is_not() -> None:
    versions = [version(n, (n,)) for n in (1, 5, 9)]

    assert forget_versions(versions, 5)
    assert [v.at for v in versions] == [5, 9]
    assert not forget_versions(versions, 8)

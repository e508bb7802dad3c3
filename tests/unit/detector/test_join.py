"""A left side of two tables: an invoice and what was funded of it, kept row by row and judged as one."""

from __future__ import annotations

from app.detector.join import JOINED, is_joined, join_rows, join_values, joined_row, own_row
from app.detector.model import (
    ABSENT,
    DUPLICATE,
    INFINITY,
    OUT,
    UNKNOWN,
    Field,
    FieldType,
    RowAsOf,
    RowChange,
    Rule,
    Value,
)
from app.detector.timeline import BIRTH, RowState, Version
from tests.support.detecting import EVERYTHING_SEEN, KEY, Story, us

NAME, TOTAL = Field("name", FieldType.TEXT), Field("total", FieldType.AMOUNT, 2)
RULE = Rule("r", 1, (NAME, TOTAL), joined=(1,), reopen_us=us(1))
INVOICE: Value = ("a", 0)
KNOWN, UNSEEDED = [BIRTH], [BIRTH._replace(value=UNKNOWN)]


def version(at: int, value: Value, lsn: int = 1) -> Version:
    return Version(at, lsn, value, (lsn, lsn, None))


def row(*versions: Version) -> RowState:
    return RowState(versions[-1].position, list(versions))


def total(units: int) -> Value:
    return (None, units)


class Joined(Story):
    """A story of both tables; the entry's value is (name, total)."""

    def __init__(self, *, from_empty: bool = True) -> None:
        super().__init__(RULE, from_empty=from_empty)

    def summary(self, at: float, after: Value, before: Value | None = None, *, row: int = 1) -> None:
        self.lsn += 10
        change = RowChange("r", KEY, joined_row(row), self.lsn, us(at), before, after, self.lsn)
        self.take(self.detector.observe(change))

    def saw(self, at: float, rows: dict[int | str, Value]) -> None:
        """A snapshot saw exactly these rows under the key."""
        reads = [RowAsOf("r", KEY, each, value, EVERYTHING_SEEN, us(at)) for each, value in rows.items()]
        reads.append(RowAsOf("r", KEY, None, ABSENT, EVERYTHING_SEEN, us(at), tuple(rows)))
        for read in reads:
            self.take(self.detector.observe(read))

    def told_words(self) -> list[str]:
        return [str(each.value["transition"]) for each in self.told]


def pieces(rows: dict[int | str, RowState], others: list[Version] = KNOWN) -> list[tuple[int, Value]]:
    return [(piece.at, piece.value) for piece in join_rows(rows, others, (1,))]


def test_ids_tell_the_tables_apart() -> None:
    assert (own_row(5), own_row("join:x"), joined_row(5)) == (5, "row:join:x", "join:5")
    assert [is_joined(each) for each in (5, None, "row:join:x", f"{JOINED}5")] == [False, False, False, True]


def test_a_row_without_a_joined_one_says_what_is_missing() -> None:
    assert pieces({1: row(BIRTH, version(5, INVOICE))}) == [(-INFINITY, ABSENT), (5, INVOICE)]


def test_a_joined_row_gives_its_fields_from_its_own_time_on() -> None:
    rows = {1: row(BIRTH, version(5, INVOICE)), joined_row(1): row(BIRTH, version(8, total(70), 2))}
    assert pieces(rows) == [(-INFINITY, ABSENT), (5, INVOICE), (8, ("a", 70))]


def test_a_joined_row_that_comes_first_waits_for_its_row() -> None:
    rows = {1: row(BIRTH, version(9, INVOICE, 3)), joined_row(1): row(BIRTH, version(2, total(70), 2))}
    assert pieces(rows) == [(-INFINITY, ABSENT), (2, ABSENT), (9, ("a", 70))]


def test_without_a_row_in_scope_the_joined_one_says_nothing() -> None:
    joined = row(BIRTH, version(2, total(70)), version(7, UNKNOWN))
    assert pieces({joined_row(1): joined})[-1] == (7, ABSENT)
    assert pieces({1: row(BIRTH, version(1, OUT)), joined_row(1): joined})[-1] == (7, OUT)


def test_two_joined_rows_make_two_rows() -> None:
    rows = {1: row(version(1, INVOICE)), joined_row(1): row(version(1, total(1)))}
    assert pieces(rows | {joined_row(2): row(BIRTH, version(4, total(1)))})[-1] == (4, DUPLICATE)
    assert pieces(rows | {2: row(BIRTH, version(4, INVOICE))})[-1] == (4, DUPLICATE)


def test_an_unknown_joined_row_makes_the_whole_unknown() -> None:
    assert join_values(INVOICE, UNKNOWN, (1,)) == UNKNOWN
    assert pieces({1: row(version(1, INVOICE))}, UNSEEDED)[-1] == (1, UNKNOWN)
    rows = {1: row(version(1, INVOICE)), joined_row(1): row(version(1, total(3)))}
    assert pieces(rows, UNSEEDED)[-1] == (1, ("a", 3))


def test_what_one_table_has_forgotten_is_not_made_up() -> None:
    rows = {1: row(version(9, INVOICE)), joined_row(1): row(version(4, total(1)), version(12, total(2)))}
    assert pieces(rows) == [(9, ("a", 1)), (12, ("a", 2))]


def test_the_trace_is_that_of_the_newer_of_the_two() -> None:
    rows = {1: row(BIRTH, version(9, INVOICE, 30)), joined_row(1): row(BIRTH, version(2, total(7), 20))}
    assert [piece.position for piece in join_rows(rows, KNOWN, (1,))][-1] == 30
    rows[joined_row(1)].versions.append(version(11, total(8), 40))
    assert [piece.position for piece in join_rows(rows, KNOWN, (1,))][-1] == 40
    rows[joined_row(1)].versions.append(version(12, ABSENT, 50))
    last = join_rows(rows, KNOWN, (1,))[-1]
    assert (last.position, last.value) == (50, INVOICE)


def test_a_summary_that_does_not_follow_is_drift_and_one_that_does_is_not() -> None:
    story = Joined()
    story.row(100, INVOICE, ABSENT)
    story.entry(20, ("a", 0))
    story.until(200)
    assert story.told == []
    story.entry(40, ("a", 500))
    story.summary(210, total(500), ABSENT)
    story.until(300)
    assert story.told == []
    story.entry(60, ("a", 900))
    story.until(400)
    assert story.told_words() == ["opened"]
    story.summary(401, total(900), total(500))
    story.until(500)
    assert story.told_words() == ["opened", "resolved"]


def test_a_summary_that_is_deleted_leaves_what_is_missing() -> None:
    story = Joined()
    story.summary(90, total(5), ABSENT)
    story.row(100, INVOICE, ABSENT)
    story.entry(20, ("a", 5))
    story.until(200)
    assert story.told == []
    story.summary(201, ABSENT, total(5))
    story.until(300)
    [opened] = story.told
    assert opened.value["differences"][0]["left"] == "0"  # type: ignore[index]
    assert opened.value["trace"]["left"]["lsn"] == "30"  # type: ignore[index]


def test_an_invoice_that_leaves_the_scope_takes_its_summary_along() -> None:
    story = Joined()
    story.row(100, INVOICE, ABSENT)
    story.summary(100, total(5), ABSENT)
    story.entry(20, ("a", 5))
    story.row(150, OUT, INVOICE)
    story.summary(160, total(77), total(5))
    story.until(300)
    assert story.told == []


def test_images_of_each_table_are_checked_by_themselves() -> None:
    story = Joined()
    story.row(100, INVOICE, ABSENT)
    story.summary(101, total(5), ABSENT)
    story.row(102, ("a", 0), INVOICE)
    story.summary(103, total(6), total(5))
    assert story.incidents == []
    story.summary(104, total(8), total(7))
    assert [(each.cause, each.from_us) for each in story.incidents] == [("continuity", us(104))]


def test_a_snapshot_speaks_of_both_tables() -> None:
    story = Joined(from_empty=False)
    story.saw(100, {1: INVOICE})
    story.entry(20, ("a", 0))
    story.until(150)
    assert story.incidents == []
    assert story.left_versions() == [(100, INVOICE)]
    story.summary(160, total(5), ABSENT)
    story.until(170)
    story.saw(171, {1: INVOICE, joined_row(1): total(5)})
    story.until(180)
    assert story.incidents == []
    story.saw(181, {1: INVOICE})
    story.until(190)
    assert [(each.cause, each.from_us) for each in story.incidents] == [("as_of", us(160))]

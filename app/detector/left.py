"""What observations do to the left side of a key: changes in the log's order, as-of reads that check them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from app.detector.model import ABSENT, INFINITY, UNKNOWN, RowAsOf, RowChange, Value
from app.detector.timeline import LeftState, RowState, Version, insert, is_visible
from app.detector.watermark import Watermark

Count = Callable[[str], None]
"""Counts one occurrence by name."""


class Settled(NamedTuple):
    """What comparing an as-of read with what is held came to. `is_conclusive`: the read could be compared;
    `refuted_from`: since when what was held is proven wrong, or unknown; None where it is not."""

    refuted_from: int | None
    is_conclusive: bool

    @property
    def is_lost(self) -> bool:
        """Does it prove lost input?"""
        return self.refuted_from is not None


CONFIRMED = Settled(None, is_conclusive=True)
INCONCLUSIVE = Settled(None, is_conclusive=False)


def apply_change(
    left: LeftState, change: RowChange, watermark: Watermark, count: Count
) -> tuple[int | None, bool]:
    """(the time of the version that changed the timeline, or None; whether the change proves lost input).

    A change not newer than what its row has shown is dropped and counted: replays repeat positions. A row
    that is heard of for the first time by a change of what it held cannot have been absent before.
    """
    row = left.rows.get(change.row)
    if row is None:
        row = left.rows[change.row] = RowState(-1, watermark.unheard[:])
        if change.before is None and change.lsn > 0 and not watermark.from_empty:
            row.versions = [Version(-INFINITY, -1, UNKNOWN, None)]
    elif change.lsn <= row.position:
        count("seen")
        return None, False
    versions = row.versions
    newest = versions[-1]
    at = change.at if change.at > newest.at else newest.at
    if at <= watermark.at:
        at = watermark.at + 1
        count("late")
    row.position = change.lsn
    is_lost = change.before is not None and newest.value not in (change.before, UNKNOWN)
    if is_lost:
        versions[-1] = Version(newest.at, newest.position, UNKNOWN, newest.trace)
    trace = (change.lsn, change.tx, change.linked)
    after = change.after if not change.kept else _fill_kept(change, newest.value)
    changed = insert(versions, Version(at, change.lsn, after, trace))
    return (at if changed or is_lost else None), is_lost


def _fill_kept(change: RowChange, held: Value) -> Value:
    """What the change did not tell is as it was held; where nothing was, the whole is unknown."""
    if not isinstance(change.after, tuple):
        return change.after
    if not isinstance(held, tuple):
        return UNKNOWN
    return tuple(held[i] if i in change.kept else one for i, one in enumerate(change.after))


def hold_read(left: LeftState, read: RowAsOf, watermark: Watermark) -> None:
    """Let a read wait for the mark that it needs. Its row has been heard of: from now on no seed makes it
    absent."""
    if read not in left.waiting:
        left.waiting.append(read)
    if read.row is not None and read.row not in left.rows:
        left.rows[read.row] = RowState(-1, watermark.unheard[:])


def settle_read(left: LeftState, read: RowAsOf, watermark: Watermark, count: Count) -> Settled:
    """Compare what a snapshot saw with what is held for it: whether the read proves lost input.

    Where the snapshot saw none (`read.row` None), every row of the key but `read.besides` is meant, heard of
    or not. Call once the watermark has passed `read.read_at`.
    """
    if read.row is None:
        _settle_others(left, read, watermark)
    found = [_check_row(row, read, count) for row in _rows_meant(left, read)]
    refuted = [each.refuted_from for each in found if each.refuted_from is not None]
    return Settled(min(refuted, default=None), all(each.is_conclusive for each in found))


def _settle_others(left: LeftState, read: RowAsOf, watermark: Watermark) -> None:
    """No other row: those never heard of are absent from the read on, where they were unknown."""
    held = left.others if left.others is not None else watermark.unheard
    if held[-1].value == UNKNOWN and held[-1].at < read.read_at:
        left.others = [*held, Version(read.read_at, -1, ABSENT, None)]


def _rows_meant(left: LeftState, read: RowAsOf) -> Iterator[RowState]:
    if read.row is None:
        yield from (row for row_id, row in left.rows.items() if row_id not in read.besides)
    elif read.row in left.rows:
        yield left.rows[read.row]


def _check_row(row: RowState, read: RowAsOf, count: Count) -> Settled:
    versions = row.versions
    value = ABSENT if read.row is None else read.value
    i = len(versions) - 1
    while i >= 0 and not _is_seen(versions[i], read):
        i -= 1
    if i < 0:
        count("as_of_inconclusive")
        return INCONCLUSIVE
    held = versions[i]
    if held.value == value:
        count("as_of_confirmed")
        return CONFIRMED
    following = versions[i + 1] if i + 1 < len(versions) else None
    until = INFINITY if following is None else following.at
    is_lost = held.value != UNKNOWN
    if is_lost and until <= read.read_at:
        # the clocks of two commits may stand the wrong way round, and the later one then takes the place of
        # the earlier one: the version that the snapshot saw may be one that is not held
        count("as_of_inconclusive")
        return INCONCLUSIVE
    if is_lost:
        versions[i] = held._replace(value=UNKNOWN)
    at = max(read.read_at, held.at + 1)
    if following is not None and following.trace is None and following.value not in (UNKNOWN, value):
        # a later read has been settled before, and between the two it changed unheard, nobody knows when
        at = until
    if at < until:
        versions.insert(i + 1, Version(at, held.position, value, None))
    count("as_of_repaired" if is_lost else "as_of_learned")
    return Settled(held.at if is_lost else None, is_conclusive=True)


def _is_seen(version: Version, read: RowAsOf) -> bool:
    """Whether the snapshot saw the transaction of a version; one that a read brought counts by its time."""
    if version.trace is None:
        return version.at <= read.read_at
    transaction = version.trace[1]
    return is_visible(transaction if isinstance(transaction, int) else None, read.snapshot)

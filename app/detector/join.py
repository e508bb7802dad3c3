"""The left side of a rule that joins two tables: the rows of both, kept one by one, become one value a key.

Rows of the joined table are kept beside those of the left table, each with its own position and versions, and
are put together only where a key is judged: so changes, before-images, losses and reads of either table need
no other row, and come in any order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.detector.model import ABSENT, RowId, Value
from app.detector.timeline import MergedVersion, Piece, RowState, Version, merge_rows

OWN, JOINED = "row:", "join:"
"""Begin the text ids of the left table's rows and of the joined table's, in a rule that joins: both tables
may know a row of one id under one key. A number is always an id of the left table."""


def own_row(row: RowId) -> RowId:
    """The id of a row of the left table among the rows of both."""
    return row if type(row) is int else f"{OWN}{row}"


def joined_row(row: RowId) -> RowId:
    """The id of a row of the joined table among the rows of both."""
    return f"{JOINED}{row}"


def is_joined(row: RowId | None) -> bool:
    """Whether a row of a rule that joins belongs to the joined table."""
    return type(row) is str and row.startswith(JOINED)


def join_rows(
    rows: Mapping[RowId, RowState], others: Sequence[Version], joined: Sequence[int]
) -> Sequence[Piece]:
    """The pieces of a key from the rows of both tables; `others` speaks for those of either that were never
    heard of."""
    own = {row_id: row for row_id, row in rows.items() if not is_joined(row_id)}
    theirs = {row_id: row for row_id, row in rows.items() if is_joined(row_id)}
    left = merge_rows(own, others) if own else others
    right = merge_rows(theirs, others) if theirs else others
    first = max(left[0].at, right[0].at)
    cuts = {first, *(piece.at for piece in (*left, *right) if piece.at > first)}
    pieces: list[Piece] = []
    i = j = 0
    for at in sorted(cuts):
        i, j = _index_at(left, at, i), _index_at(right, at, j)
        pieces.append(_join(at, left[i], right[j], joined))
    return pieces


def join_values(own: Value, theirs: Value, joined: Sequence[int]) -> Value:
    """The left join of two values: where a row of the left table is in scope, the joined fields are those of
    the joined row. Without one they are what the row's own value says; two of them make two rows, and an
    unknown one makes the whole unknown."""
    if not isinstance(own, tuple) or theirs == ABSENT:
        return own
    if not isinstance(theirs, tuple):
        return theirs
    value = list(own)
    for index in joined:
        value[index] = theirs[index]
    return tuple(value)


def _join(at: int, own: Piece, theirs: Piece, joined: Sequence[int]) -> MergedVersion:
    """The trace is that of the newer one of the two that make the value."""
    value = join_values(own.value, theirs.value, joined)
    newest = own
    if isinstance(own.value, tuple) and _age(theirs) > _age(own):
        newest = theirs
    return MergedVersion(at, newest.position, value, newest.trace, _began(newest))


def _age(piece: Piece) -> tuple[bool, int, int]:
    return piece.position >= 0, _began(piece), piece.position


def _began(piece: Piece) -> int:
    return piece.traced_at if isinstance(piece, MergedVersion) else piece.at


def _index_at(pieces: Sequence[Piece], at: int, known: int) -> int:
    while known + 1 < len(pieces) and pieces[known + 1].at <= at:
        known += 1
    return known

"""Reads the two tables of a rule that joins, so that each page says everything about each of its keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from app.readings import Place
from connectors.postgres.table import Table

_BESIDE: Final = "joined"
"""Stands in a place behind the left table's last row: what follows are rows of the joined table alone."""


class Found(NamedTuple):
    """The rows of a page's keys in both tables, those of the page that have no key, and where the next page
    begins."""

    own: Sequence[Any]
    joined: Sequence[Any]
    keyless: int
    after: Place | None


class JoinedTables:
    """The left table and the joined one. Pages are of the left table first, in the order of its primary key;
    then of the rows of the joined table whose key no row of the left one has.

    A page brings every row that its keys have in either table, as one snapshot saw them: a key with rows in
    several pages is read again in each.
    """

    def __init__(self, own: Table, joined: Table) -> None:
        self.own, self.joined = own, joined

    async def page(self, connection: Any, after: Place | None, size: int, until: Place | None) -> Found:
        """The next page behind a place, none behind `until`, inside the connection's transaction."""
        beside = self._beside(after)
        if beside is None:
            last = None if self._beside(until) is not None else until
            statement = self.own.page(size, is_first=after is None, is_bounded=last is not None)
            rows = await connection.fetch(statement, *(after or ()), *(last or ()))
            table = self.own
        else:
            last = self._beside(until)
            statement = self.joined.page(size, is_first=not beside, is_bounded=bool(last), lacking=self.own)
            rows = await connection.fetch(statement, *beside, *(last or ()))
            table = self.joined
        behind = table.place(rows[-1]) if len(rows) == size else None
        keys = [table.key(row) for row in rows]
        texts = list(dict.fromkeys(key for key in keys if key is not None))
        found = await self.keyed(connection, texts)
        return found._replace(keyless=keys.count(None), after=self._next(beside, behind, until))

    async def keyed(self, connection: Any, keys: Sequence[str]) -> Found:
        """All rows under these keys, inside the connection's transaction."""
        own = await connection.fetch(self.own.keyed(), list(keys))
        joined = await connection.fetch(self.joined.keyed(), list(keys))
        return Found(own, joined, 0, None)

    def _next(self, beside: Place | None, behind: Place | None, until: Place | None) -> Place | None:
        if beside is not None:
            return None if behind is None else self._place_beside(behind)
        if behind is not None or (until is not None and not self._beside(until)):
            return behind
        return self._place_beside(())

    def _beside(self, place: Place | None) -> Place | None:
        """A place in the joined table's pages, as its primary key (empty: the beginning); None for one in the
        left table's."""
        start = len(self.own.keys) + 1
        return None if place is None or len(place) < start else place[start:]

    def _place_beside(self, place: Place) -> Place:
        return (*("",) * len(self.own.keys), _BESIDE, *place)

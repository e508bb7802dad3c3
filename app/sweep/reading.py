"""Reading both sides of a rule completely: rows page by page with their entries, then what only the chain
lists."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Protocol

from app.detector.model import EntryAsOf
from app.readings import EntryPage, KeyPage, Place, RowPage
from app.rules import LoadedRule
from app.sweep.met import MetKeys
from app.sweep.patience import Patience

ENTRIES_A_CALL: Final = 200
_CALLS_AT_ONCE: Final = 4


class RowSource(Protocol):
    """Reads rows as of a snapshot. Reads repeat harmlessly."""

    async def read_page(
        self, loaded: LoadedRule, after: Place | None, size: int, until: Place | None = None
    ) -> RowPage: ...
    async def read_keys(self, loaded: LoadedRule, keys: Sequence[str]) -> RowPage: ...


class EntrySource(Protocol):
    """Reads entries as of a ledger. `list_page` lists the keys from number `first` on, from 0; None where the
    contract cannot list its keys."""

    async def list_page(self, loaded: LoadedRule, first: int) -> KeyPage | None: ...
    async def read(self, loaded: LoadedRule, keys: Sequence[str], at_least: int) -> EntryPage: ...


@dataclass(frozen=True, slots=True)
class Reading:
    """One page of rows and the entries of its keys. `again`: keys that an earlier page had, too."""

    rows: RowPage
    entries: tuple[EntryPage, ...]
    again: frozenset[str] = frozenset()

    @property
    def entry_reads(self) -> list[EntryAsOf]:
        """The entries of all calls, in their order."""
        return [entry for page in self.entries for entry in page.entries]

    @property
    def refused(self) -> dict[str, str]:
        """The keys that can have no entry and are an error of their own, and why."""
        return {key: why for page in self.entries for key, why in page.refused.items()}


class BothSides:
    """Reads one rule's two sides; trouble that passes is waited out. `at_least`: the ledger from which an
    answer counts. What is held does not grow with the keys, but for their hashes (14 bytes each)."""

    def __init__(
        self, sources: tuple[RowSource, EntrySource], loaded: LoadedRule, patiently: Patience, at_least: int
    ) -> None:
        self._rows, self._entries = sources
        self._loaded, self._patiently, self.at_least = loaded, patiently, at_least
        self._met = MetKeys()
        self.cannot_list = False

    async def pages(self, size: int, after: Place | None = None) -> AsyncGenerator[Reading, None]:
        """The rows behind `after`, in the order of the primary key, each page with the entries of its keys;
        the next page and its entries are read while one is worked on."""
        following: asyncio.Task[Reading] | None = asyncio.create_task(self._reading(after, size))
        try:
            while following is not None:
                reading = await following
                following = None
                if reading.rows.after is not None:
                    following = asyncio.create_task(self._reading(reading.rows.after, size))
                yield reading
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    async def _reading(self, after: Place | None, size: int) -> Reading:
        page = await self._page(after, size)
        keys = list(dict.fromkeys(row.key for row in page.rows))
        again = frozenset(key for key in keys if not self._met.add(key))
        return Reading(page, await self.read_entries([key for key in keys if key not in again]), again)

    async def pass_by(self, size: int, until: Place | None) -> None:
        """Remember the keys of the rows up to a place (None: all), without reading their entries."""
        after: Place | None = None
        while True:
            page = await self._page(after, size, until)
            self._met.update(row.key for row in page.rows)
            if page.after is None:
                return
            after = page.after

    async def others(self, besides: Sequence[str]) -> AsyncGenerator[Reading, None]:
        """The keys that no row had: those that the contract lists, and `besides`. Each is read on both sides
        by its key."""
        asked, unmet = MetKeys(), deque[str]()
        async with aclosing(self._listed()) as pages:
            async for keys in pages:
                unmet.extend(key for key in keys if key not in self._met and asked.add(key))
                while len(unmet) >= ENTRIES_A_CALL:
                    yield await self.read([unmet.popleft() for _ in range(ENTRIES_A_CALL)])
        unmet.extend(key for key in besides if key not in self._met and asked.add(key))
        while unmet:
            yield await self.read([unmet.popleft() for _ in range(min(len(unmet), ENTRIES_A_CALL))])

    async def _listed(self) -> AsyncGenerator[Sequence[str], None]:
        """The contract's own keys; the next page is asked for while one is worked on."""
        following: asyncio.Task[KeyPage | None] | None = asyncio.create_task(self._key_page(0))
        try:
            while following is not None:
                page = await following
                following = None
                if page is None:
                    self.cannot_list = True
                    return
                if page.following is not None:
                    following = asyncio.create_task(self._key_page(page.following))
                yield page.keys
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    async def _key_page(self, first: int) -> KeyPage | None:
        return await self._patiently(lambda: self._entries.list_page(self._loaded, first))

    async def again(self, keys: Sequence[str]) -> AsyncGenerator[Reading, None]:
        """Those of `keys` that a row had, whole: a page does not tell that a second row of a key is gone."""
        met = [key for key in keys if key in self._met]
        for first in range(0, len(met), ENTRIES_A_CALL):
            yield await self.read(met[first : first + ENTRIES_A_CALL])

    async def read(self, keys: Sequence[str]) -> Reading:
        """At most 200 keys, both sides of each."""
        rows = await self._patiently(lambda: self._rows.read_keys(self._loaded, keys))
        return Reading(rows, await self.read_entries(keys))

    async def read_entries(self, keys: Sequence[str]) -> tuple[EntryPage, ...]:
        """The entries of these keys, 200 a call, a few calls at a time."""
        chunks = [keys[first : first + ENTRIES_A_CALL] for first in range(0, len(keys), ENTRIES_A_CALL)]
        found: list[EntryPage] = []
        for first in range(0, len(chunks), _CALLS_AT_ONCE):
            some = chunks[first : first + _CALLS_AT_ONCE]
            found += await asyncio.gather(*(self._read_chunk(chunk) for chunk in some))
        return tuple(found)

    async def read_nothing(self) -> EntryPage:
        """No entry, and the ledger that this is of."""
        return await self._read_chunk([])

    async def _read_chunk(self, keys: Sequence[str]) -> EntryPage:
        return await self._patiently(lambda: self._entries.read(self._loaded, keys, self.at_least))

    async def _page(self, after: Place | None, size: int, until: Place | None = None) -> RowPage:
        return await self._patiently(lambda: self._rows.read_page(self._loaded, after, size, until))

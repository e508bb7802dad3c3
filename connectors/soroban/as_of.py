"""Entries as one ledger held them, for seeds and sweeps: which keys there are, and what stands under them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from app.detector.model import ABSENT, INFINITY, UNKNOWN, EntryAsOf, Value
from app.errors import Fatal, Poison, Transient
from app.readings import EntryPage, KeyPage
from app.rules import ContractTable, LoadedRule
from app.telemetry import get_logger
from connectors.soroban.answers import LedgerEntry
from connectors.soroban.changes import Before
from connectors.soroban.contracts import decoder_for
from connectors.soroban.past import Trail, walk_back
from connectors.soroban.reader import (
    CHUNK,
    Asked,
    EntryReader,
    EntryReads,
    EntryState,
    MappedReader,
    place_of,
    state_of,
)
from connectors.soroban.rpc import NodeApi
from connectors.soroban.service import network_name
from connectors.soroban.times import SECOND, CloseTimes

log = get_logger(__name__)

_TRIES: Final = 3
_TIMES_ASKED: Final = 2
"""Behind one address there may be two replicas that answer in turn, one of them behind."""
_TOLD: Final = 10


class Contracts(Protocol):
    """Reads a mapping table: contract by key; `keys`: of these alone. Raises `Transient` or `Fatal`."""

    async def __call__(self, table: ContractTable, keys: Sequence[str] | None) -> Mapping[str, str]: ...


class EntrySource:
    """The entries of rules on one network. Raises what `Rpc` raises, `Transient` for a node that is behind,
    and `Fatal` for a contract that cannot be read."""

    largest_page: Final = CHUNK

    def __init__(self, rpc: NodeApi, passphrase: str, contracts: Contracts | None = None) -> None:
        self._rpc, self._passphrase, self._contracts = rpc, passphrase, contracts
        self._times = CloseTimes()
        self._readers: dict[str, EntryReader] = {}
        self._is_checked = False
        self._refused = 0

    async def list_page(self, loaded: LoadedRule, first: int) -> KeyPage | None:
        """Keys of the rule's contract from a number on, page by page; None where it cannot list them. Those
        added meanwhile may be missing: their events are in the stream. A mapping's keys are one page."""
        if loaded.right.contracts is not None:
            return KeyPage(tuple(await self._contracts_of(loaded, loaded.right.contracts, None)), None)
        if not hasattr(decoder_for(loaded.right), "numbered_key"):
            return None
        reader = await self._single_reader(loaded)
        try:
            return (await reader.list_page(first))[1]
        except Poison as error:
            raise Fatal("listing the entries of", reader.contract, error) from error

    async def read(self, loaded: LoadedRule, keys: Sequence[str], at_least: int) -> EntryPage:
        """Up to 200 entries as one ledger held them, `at_least` or later; its close time is exact, so that
        every change before the read is told apart from every one after it."""
        table = loaded.right.contracts
        if table is None:
            reads, read_at = await self._read_timed(await self._single_reader(loaded), keys, at_least)
        else:
            reads, read_at = await self._read_mapped(loaded, table, keys, at_least)
        entries = tuple(self._entry(loaded, state, (reads.read_ledger, read_at)) for state in reads.states)
        return EntryPage(read_at, reads.read_ledger, entries, self._refused_of(reads))

    async def trace(
        self, loaded: LoadedRule, entries: Sequence[EntryAsOf], history_from: Mapping[str, int]
    ) -> list[EntryAsOf]:
        """What the entries were before, by the ledgers that changed them, back to an instant each (by key,
        µs), oldest first; then the entries, dated where that was learned. A rule whose contracts stand in a
        table gets its entries only: what an entry was is not what its key was.

        Raises what the node's calls raise where not even the first ledger is told."""
        if loaded.right.contracts is not None:
            return list(entries)
        contract, decoder = (await self._single_reader(loaded)).contract, decoder_for(loaded.right)
        trails: list[Trail] = []
        for entry in entries:
            asked = Asked(contract, decoder, entry.key)
            place = place_of(asked) if history_from[entry.key] < INFINITY else None
            if isinstance(place, str):
                value_of = partial(self._value_before, loaded, asked, place)
                trails.append(Trail(place, history_from[entry.key], value_of, [entry]))
        await walk_back(self._rpc, trails)
        past = [each for trail in trails for each in reversed(trail.told[1:])]
        dated = {trail.told[0].key: trail.told[0] for trail in trails}
        return [*past, *(dated.get(entry.key, entry) for entry in entries)]

    def _value_before(self, loaded: LoadedRule, asked: Asked, place: str, before: Before) -> Value:
        if before.entry_xdr is None:
            return ABSENT
        entry = LedgerEntry(place, before.entry_xdr, max(before.modified_ledger, 0))
        return self._value(loaded, state_of(asked, entry))

    async def _read_mapped(
        self, loaded: LoadedRule, table: ContractTable, keys: Sequence[str], at_least: int
    ) -> tuple[EntryReads, int]:
        """By the mapping before the read, which must be the one after it too: between the two a key may have
        got another contract, and what was read would be the old one's."""
        before = await self._contracts_of(loaded, table, keys)
        for _ in range(_TRIES):
            reader = MappedReader(self._rpc, before, decoder_for(loaded.right))
            found = await self._read_timed(reader, keys, at_least)
            after = await self._contracts_of(loaded, table, keys)
            if after == before:
                return found
            before = after
        raise Transient("reading the table", table.table, "the contracts of the keys change all the time")

    async def _contracts_of(
        self, loaded: LoadedRule, table: ContractTable, keys: Sequence[str] | None
    ) -> Mapping[str, str]:
        if self._contracts is None:
            raise Fatal("reading the rule", loaded.rule.id, "there is no way to read right.mapping")
        await self._check(loaded)
        return await self._contracts(table, keys)

    async def _check(self, loaded: LoadedRule) -> None:
        if not self._is_checked:
            await self._rpc.check_passphrase(self._passphrase)
            self._is_checked = True
        network = loaded.right.network
        if network not in (None, network_name(self._passphrase)):
            raise Fatal(
                "reading the rule", loaded.rule.id, f"it is of the network {network}", "seed it there"
            )

    async def _single_reader(self, loaded: LoadedRule) -> EntryReader:
        await self._check(loaded)
        contract, decoder = loaded.right.contract, decoder_for(loaded.right)
        if not contract:
            raise Fatal("reading the rule", loaded.rule.id, "it names no contract", "set right.contract")
        if loaded.rule.id not in self._readers:
            self._readers[loaded.rule.id] = EntryReader(self._rpc, contract, decoder)
        return self._readers[loaded.rule.id]

    async def _read_timed(
        self, reader: EntryReader | MappedReader, keys: Sequence[str], at_least: int
    ) -> tuple[EntryReads, int]:
        ledger = -1
        for _ in range(_TRIES):
            reads = await reader.read(keys)
            ledger = reads.read_ledger
            if ledger < at_least:
                break
            for _ in range(_TIMES_ASKED):
                if self._times.of(ledger) is None:
                    await self._learn(reader.contract)
            read_at = self._times.of(ledger)
            if read_at is not None:
                return reads, read_at
        cause = f"the state is of ledger {ledger}, needed: {at_least} or later, its close time known"
        raise Transient("reading entries of", self._rpc.subject, cause)

    async def _learn(self, contract: str) -> None:
        """The close time of the node's latest ledger; older servers tell it with events only."""
        health = await self._rpc.get_health()
        latest, closed = health.latest_ledger, health.latest_ledger_close_time
        if not closed:
            page = await self._rpc.get_events([contract], latest, 1)
            latest, closed = page.latest_ledger, page.latest_ledger_close_time
        if not closed:
            hint = "stellar-rpc 23 or newer is needed"
            raise Fatal("reading entries of", self._rpc.subject, "the node tells no close times", hint)
        self._times.learn(latest, closed * SECOND)

    def _entry(self, loaded: LoadedRule, state: EntryState, read: tuple[int, int]) -> EntryAsOf:
        modified = -1 if state.modified_ledger is None else state.modified_ledger
        return EntryAsOf(
            loaded.rule.id, state.key, self._value(loaded, state), modified, self._times.of(modified), *read
        )

    def _refused_of(self, reads: EntryReads) -> dict[str, str]:
        """The keys that can have no entry, and why."""
        refused = {
            state.key: state.problem
            for state in reads.states
            if not state.exists and state.problem is not None
        }
        for problem in refused.values():
            self._tell_refused(problem)
        return refused

    def _value(self, loaded: LoadedRule, state: EntryState) -> Value:
        if not state.exists:
            return ABSENT
        problem = state.problem
        if state.value is not None:
            try:
                return loaded.right.read(state.value)
            except Poison as error:
                problem = str(error)
        self._tell_refused(problem)
        return UNKNOWN

    def _tell_refused(self, problem: str | None) -> None:
        self._refused += 1
        if self._refused <= _TOLD:
            log.warning("An entry cannot be read", event_name="entry_refused", reason=problem)

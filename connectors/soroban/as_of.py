"""Entries as one ledger held them, for seeds and sweeps: which keys there are, and what stands under them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from app.detector.model import ABSENT, UNKNOWN, EntryAsOf, Value
from app.errors import Fatal, Poison, Transient
from app.readings import EntryPage
from app.rules import ContractTable, LoadedRule
from app.telemetry import get_logger
from connectors.soroban.contracts import decoder_of
from connectors.soroban.reader import CHUNK, EntryReader, EntryReads, EntryState, MappedReader
from connectors.soroban.rpc import NodeApi
from connectors.soroban.service import LoadContracts, network_name
from connectors.soroban.times import SECOND, CloseTimes

log = get_logger(__name__)

_TRIES: Final = 3
_TIMES_ASKED: Final = 2
"""Behind one address there may be two replicas that answer in turn, one of them behind."""
_TOLD: Final = 10


class EntrySource:
    """The entries of rules on one network. Raises what `Rpc` raises, `Transient` for a node that is behind,
    and `Fatal` for a contract that cannot be read."""

    largest_page: Final = CHUNK

    def __init__(self, rpc: NodeApi, passphrase: str, load: LoadContracts | None = None) -> None:
        self._rpc, self._passphrase, self._load = rpc, passphrase, load
        self._mapped: dict[str, MappedReader] = {}
        self._times = CloseTimes()
        self._readers: dict[tuple[str, str], EntryReader] = {}
        self._is_checked = False
        self._refused = 0

    async def list_keys(self, loaded: LoadedRule) -> tuple[str, ...] | None:
        """All keys of the rule's contract, None where it cannot list them. Those added meanwhile may be
        missing: their events are in the poller's stream."""
        if loaded.right.contracts is not None:
            return tuple(await self._map(loaded, loaded.right.contracts))
        if not hasattr(decoder_of(loaded.right.entry), "numbered_key"):
            return None
        reader = await self._single_reader(loaded)
        found: dict[str, None] = {}
        try:
            async for _, keys in reader.list_keys():
                found |= dict.fromkeys(keys)
        except Poison as error:
            raise Fatal("listing the entries of", reader.contract, error) from error
        return tuple(found)

    async def read(self, loaded: LoadedRule, keys: Sequence[str], at_least: int) -> EntryPage:
        """Up to 200 entries as one ledger held them, `at_least` or later; its close time is exact, so that
        every change before the read is told apart from every one after it."""
        reader = await self._reader(loaded)
        reads, read_at = await self._read_timed(reader, keys, at_least)
        entries = tuple(self._entry(loaded, state, (reads.read_ledger, read_at)) for state in reads.states)
        return EntryPage(read_at, reads.read_ledger, entries)

    async def _reader(self, loaded: LoadedRule) -> EntryReader | MappedReader:
        if loaded.right.contracts is None:
            return await self._single_reader(loaded)
        if loaded.rule.id not in self._mapped:
            await self._map(loaded, loaded.right.contracts)
        return self._mapped[loaded.rule.id]

    async def _map(self, loaded: LoadedRule, table: ContractTable) -> Mapping[str, str]:
        """Read the rule's mapping table as it is now."""
        if self._load is None:
            raise Fatal("reading the rule", loaded.rule.id, "there is no way to read right.mapping")
        await self._check(loaded)
        found = await self._load(table)
        self._mapped[loaded.rule.id] = MappedReader(self._rpc, found, decoder_of(loaded.right.entry))
        return found

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
        contract, entry = loaded.right.contract, loaded.right.entry
        if not contract:
            raise Fatal("reading the rule", loaded.rule.id, "it names no contract", "set right.contract")
        place = (contract, entry)
        if place not in self._readers:
            self._readers[place] = EntryReader(self._rpc, contract, decoder_of(entry))
        return self._readers[place]

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

    def _value(self, loaded: LoadedRule, state: EntryState) -> Value:
        if not state.exists:
            return ABSENT
        problem = state.problem
        if state.value is not None:
            try:
                return loaded.right.read(state.value)
            except Poison as error:
                problem = str(error)
        self._refused += 1
        if self._refused <= _TOLD:
            log.warning("An entry cannot be read", event_name="entry_refused", reason=problem)
        return UNKNOWN

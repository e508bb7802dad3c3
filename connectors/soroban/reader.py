"""Reads of ledger entries by rule key: 200 an answer, each the state of one ledger; lists all keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from stellar_sdk import StrKey

from app.errors import Poison, Transient
from app.readings import KeyPage
from connectors.soroban import keys
from connectors.soroban.answers import LedgerEntry
from connectors.soroban.contracts import ContractDecoder, Enumerable
from connectors.soroban.contracts.custom import DecoderFailed
from connectors.soroban.contracts.plain import RefusedKey
from connectors.soroban.keys import ContractData
from connectors.soroban.rpc import MAX_KEYS, NodeApi

CHUNK: Final = MAX_KEYS
_ANY_CONTRACT: Final = StrKey.encode_contract(bytes(32))


@dataclass(frozen=True, slots=True)
class EntryState:
    """One entry at the ledger of its answer. `value` None with `exists`: the decoder refused it, `problem`
    says why; without `exists`, a problem says why the key can have none. `live_until` None: not known (a
    node's 0 means that too, never that the entry is gone); before the ledger of the answer: the entry is
    archived, and there."""

    key: str
    exists: bool
    value: dict[str, Any] | None = None
    modified_ledger: int | None = None
    live_until: int | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class EntryReads:
    """The states of the asked keys, in their order, all at `read_ledger`."""

    read_ledger: int
    states: tuple[EntryState, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """An entry to read: the contract, the kind of entry, and the rule key."""

    contract: str
    decoder: ContractDecoder
    key: str


async def read_entries(rpc: NodeApi, asked: Sequence[Asked]) -> EntryReads:
    """Read up to 200 entries of any contracts in one answer, in the order in which they were asked for. Keys
    that can have no entry are absent. Raises what the node's calls raise."""
    places = [place_of(one) for one in asked]
    wanted = list(dict.fromkeys(place for place in places if isinstance(place, str)))
    ledger, found = await rpc.get_ledger_entries(wanted or [keys.instance_key(asked[0].contract)])
    states = [
        EntryState(one.key, exists=isinstance(place, DecoderFailed), problem=str(place))
        if isinstance(place, Poison)
        else state_of(one, None if place is None else found.get(place))
        for one, place in zip(asked, places, strict=True)
    ]
    return EntryReads(ledger, tuple(states))


class EntryReader:
    """The entries of one kind in one contract. Raises what the node's calls raise."""

    def __init__(self, rpc: NodeApi, contract: str, decoder: ContractDecoder) -> None:
        self._rpc, self.contract, self._decoder = rpc, contract, decoder

    async def read(self, rule_keys: Sequence[str]) -> EntryReads:
        """Read up to 200 entries in one answer, each key once. Keys that can have no entry are absent.
        Without any key the answer says which ledger it is of."""
        asked = [Asked(self.contract, self._decoder, key) for key in dict.fromkeys(rule_keys)]
        if not asked:
            ledger, _ = await self._rpc.get_ledger_entries([keys.instance_key(self.contract)])
            return EntryReads(ledger, ())
        return await read_entries(self._rpc, asked)

    async def list_keys(self) -> AsyncIterator[tuple[int, tuple[str, ...]]]:
        """All keys of the contract, (ledger, up to 200 keys) at a time; those added meanwhile may be missing.

        Raises `Poison` for a decoder that cannot list.
        """
        following: int | None = 0
        while following is not None:
            ledger, page = await self.list_page(following)
            following = page.following
            if page.keys:
                yield ledger, page.keys

    async def list_page(self, first: int) -> tuple[int, KeyPage]:
        """The keys from number `first` on, up to 199, and the ledger of the answer: the same one tells how
        many there are. Raises as `list_keys` does."""
        if not hasattr(self._decoder, "numbered_key"):
            raise Poison("listing the keys of", self._decoder.entry, "this contract cannot list them")
        place = keys.instance_key(self.contract)
        if getattr(self._decoder, "has_no_keys", False):
            ledger, _ = await self._rpc.get_ledger_entries([place])
            return ledger, KeyPage((), None)
        decoder = cast(Enumerable, self._decoder)
        asked = [decoder.numbered_key(self.contract, first + number) for number in range(CHUNK - 1)]
        ledger, found = await self._rpc.get_ledger_entries([place, *asked])
        if place not in found:
            raise Transient("reading the instance of", self.contract, "no such contract on this network")
        total = decoder.count(_checked(found[place]))
        listed = [found[one] for one in asked[: max(total - first, 0)] if one in found]
        following = first + len(asked)
        page = KeyPage(
            tuple(decoder.key_in(_checked(one)) for one in listed), following if following < total else None
        )
        return ledger, page


class MappedReader:
    """The entries of one kind in as many contracts as there are keys: `contract_of` says which is whose. A
    key without a contract is absent, and so is one with a text that is none, which is a problem. Raises what
    the node's calls raise."""

    def __init__(self, rpc: NodeApi, contract_of: Mapping[str, str], decoder: ContractDecoder) -> None:
        self._rpc, self._decoder = rpc, decoder
        self._contract_of = {
            key: contract for key, contract in contract_of.items() if StrKey.is_valid_contract(contract)
        }
        self._wrong = contract_of.keys() - self._contract_of.keys()

    @property
    def contract(self) -> str:
        """One of the contracts; "" where there is none."""
        return next(iter(self._contract_of.values()), "")

    async def read(self, rule_keys: Sequence[str]) -> EntryReads:
        """Read up to 200 entries in one answer, each key once."""
        wanted = list(dict.fromkeys(rule_keys))
        asked = [
            Asked(self._contract_of[key], self._decoder, key) for key in wanted if key in self._contract_of
        ]
        if not asked:
            ledger = (await self._rpc.get_health()).latest_ledger
            return EntryReads(ledger, tuple(self._without(key) for key in wanted))
        reads = await read_entries(self._rpc, asked)
        found = {state.key: state for state in reads.states}
        return EntryReads(reads.read_ledger, tuple(found.get(key) or self._without(key) for key in wanted))

    def _without(self, key: str) -> EntryState:
        """A key that has no contract, and what is wrong with it."""
        place = place_of(Asked(_ANY_CONTRACT, self._decoder, key))
        problem = str(place) if isinstance(place, RefusedKey) else None
        if key in self._wrong:
            problem = f"{key[:160]!r} is mapped to what is no contract"
        return EntryState(key, exists=False, problem=problem)


def place_of(asked: Asked) -> str | DecoderFailed | RefusedKey | None:
    """Where the entry stands; None for a key that can have none, the error where nobody knows, or where
    everybody should know."""
    try:
        return asked.decoder.ledger_key(asked.contract, asked.key)
    except (DecoderFailed, RefusedKey) as error:
        return error
    except Poison:
        return None


def state_of(asked: Asked, entry: LedgerEntry | None) -> EntryState:
    if entry is None:
        return EntryState(asked.key, exists=False)
    modified, live_until = entry.last_modified_ledger_seq, entry.live_until_ledger_seq or None
    try:
        value = asked.decoder.value(_checked(entry))
    except Poison as error:
        return EntryState(asked.key, True, None, modified, live_until, str(error))
    return EntryState(asked.key, True, value, modified, live_until)


def _checked(entry: LedgerEntry) -> ContractData:
    """The decoded entry; raises `Poison` where it is not the entry of the key that it came under."""
    found = keys.read_contract_data(entry.xdr)
    if found.ledger_key != entry.key:
        raise Poison("decoding", f"a ledger entry of {found.contract}", "the key does not match the entry")
    return found

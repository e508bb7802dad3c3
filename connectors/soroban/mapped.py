"""Which contract each key has, where a captured table says so; what is watched because of it, and what has to
be told of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from stellar_sdk import StrKey

from app.errors import Poison
from app.rules import ContractTable
from app.telemetry import get_logger
from connectors.soroban.contracts import ContractDecoder
from connectors.soroban.contracts.plain import RefusedKey
from connectors.soroban.reader import Asked
from connectors.soroban.records import Watch

log = get_logger(__name__)

_TOLD: Final = 10
_LOADED: Final = 1 << 62


class MappedRule(NamedTuple):
    """The table, and the kind of entry that each of its contracts holds."""

    table: ContractTable
    decoder: ContractDecoder


class Row(NamedTuple):
    """A row of such a table: the key, and its contract; None: the key has none any more. `at`: when that was
    committed (µs)."""

    table: str
    key: str
    contract: str | None
    at: int = 0


class Moves(NamedTuple):
    """Keys whose contract is another one now: those to read where they are, and those that have none any
    more, by the contract that they had."""

    read: tuple[Asked, ...] = ()
    gone: tuple[Asked, ...] = ()


class MappedContracts:
    """Keeps `watches` (by contract) in step with the tables. That a key is new, has another contract now, or
    none any more, is told once, with a ledger that closed after it: no event of a contract says so. When a
    row that was read with its table was committed is not known: it waits for the second ledger."""

    def __init__(self, rules: Iterable[MappedRule], watches: dict[str, Watch]) -> None:
        self.rules = tuple(rules)
        self._watches = watches
        self._contract_of: dict[tuple[str, str], str] = {}
        self._unread: dict[tuple[str, str], int] = {}
        self._gone: dict[tuple[str, str], tuple[str, int]] = {}
        self._refused: set[tuple[str, str]] = set()
        self._told = 0

    @property
    def refused(self) -> int:
        """How many keys name what is no contract, or can be in none."""
        return len(self._refused)

    def load(self, table: str, rows: Mapping[str, str]) -> None:
        """All rows of a table; keys that are not among them have no contract any more."""
        known = {**self._contract_of, **dict.fromkeys(self._refused)}
        gone = [key for held, key in known if held == table and key not in rows]
        for key in gone:
            self.put(Row(table, key, None, _LOADED))
        for key, contract in rows.items():
            self.put(Row(table, key, contract, _LOADED))

    def put(self, row: Row) -> None:
        """Take a row up. A contract that is none is told and leaves the key without one; a key that no entry
        can have is told, and followed: it is absent."""
        place = (row.table, row.key)
        contract = row.contract if row.contract and StrKey.is_valid_contract(row.contract) else None
        self._refused.discard(place)
        if row.contract and contract is None:
            self._refuse(row, "it is mapped to what is no contract")
        before = self._contract_of.pop(place, None)
        if before is not None and before != contract:
            self._unwatch(row.table, before, row.key)
        if contract is None:
            self._unread.pop(place, None)
            if before is not None:
                self._gone[place] = before, row.at
            return
        self._gone.pop(place, None)
        self._contract_of[place] = contract
        if before != contract:
            self._watch(row.table, contract, row.key)
            self._unread[place] = row.at
            self._check_key(row)

    def take(self, most: int, closed_at: int) -> Moves:
        """Up to so many keys of each kind that were not told yet and had moved when a ledger closed; they
        stay until `told`."""
        read: list[Asked] = []
        gone: list[Asked] = []
        for table, key in [place for place, at in self._unread.items() if at <= closed_at][:most]:
            contract = self._contract_of[table, key]
            read += [Asked(contract, decoder, key) for decoder in self._decoders(table)]
        left = [(place, contract) for place, (contract, at) in self._gone.items() if at <= closed_at]
        for (table, key), contract in left[:most]:
            gone += [Asked(contract, decoder, key) for decoder in self._decoders(table)]
        self._date_loaded(closed_at)
        return Moves(tuple(read), tuple(gone))

    def _date_loaded(self, closed_at: int) -> None:
        """They were committed before the ledger after this one closes."""
        for place, at in self._unread.items():
            if at == _LOADED:
                self._unread[place] = closed_at + 1
        for place, (contract, at) in self._gone.items():
            if at == _LOADED:
                self._gone[place] = contract, closed_at + 1

    def told(self, moves: Moves) -> None:
        """These were published. A key that has moved again meanwhile is told again."""
        done = {(one.contract, one.key) for one in moves.read}
        kept = [place for place in self._unread if (self._contract_of[place], place[1]) not in done]
        self._unread = {place: self._unread[place] for place in kept}
        gone = {(one.contract, one.key) for one in moves.gone}
        self._gone = {place: held for place, held in self._gone.items() if (held[0], place[1]) not in gone}

    def _decoders(self, table: str) -> tuple[ContractDecoder, ...]:
        return tuple(rule.decoder for rule in self.rules if rule.table.table == table)

    def _watch(self, table: str, contract: str, key: str) -> None:
        held = self._watches.get(contract, Watch(contract, ()))
        decoders = dict.fromkeys((*held.decoders, *self._decoders(table)))
        keys = dict.fromkeys((*held.keys, key))
        self._watches[contract] = Watch(contract, tuple(decoders), tuple(keys))

    def _unwatch(self, table: str, contract: str, key: str) -> None:
        held = self._watches[contract]
        keys = tuple(each for each in held.keys if each != key)
        if keys:
            self._watches[contract] = Watch(contract, held.decoders, keys)
        else:
            del self._watches[contract]

    def _check_key(self, row: Row) -> None:
        for decoder in self._decoders(row.table):
            try:
                decoder.ledger_key(row.contract or "", row.key)
            except RefusedKey as problem:
                self._refuse(row, str(problem))
            except Poison:
                continue  # the read tells of it

    def _refuse(self, row: Row, reason: str) -> None:
        self._refused.add((row.table, row.key))
        self._told += 1
        if self._told <= _TOLD:
            log.warning("A key has no entry", event_name="key_refused", table=row.table, reason=reason)

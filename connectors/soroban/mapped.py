"""Which contract each key has, where a captured table says so; what is watched because of it, and what was
never read yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from stellar_sdk import StrKey

from app.rules import ContractTable
from app.telemetry import get_logger
from connectors.soroban.contracts import ContractDecoder
from connectors.soroban.reader import Asked
from connectors.soroban.records import Watch

log = get_logger(__name__)

_TOLD: Final = 10


class MappedRule(NamedTuple):
    """The table, and the kind of entry that each of its contracts holds."""

    table: ContractTable
    decoder: ContractDecoder


class Row(NamedTuple):
    """A row of such a table: the key, and its contract; None: the key has none any more."""

    table: str
    key: str
    contract: str | None


class MappedContracts:
    """Keeps `watches` (by contract) in step with the tables. A key that is new, or has another contract now,
    is to be read once: what happened before its contract was watched is told by no event."""

    def __init__(self, rules: Iterable[MappedRule], watches: dict[str, Watch]) -> None:
        self.rules = tuple(rules)
        self._watches = watches
        self._contract_of: dict[tuple[str, str], str] = {}
        self._unread: dict[tuple[str, str], None] = {}
        self.refused = 0

    def load(self, table: str, rows: Mapping[str, str]) -> None:
        """All rows of a table; keys that are not among them have no contract any more."""
        gone = [key for held, key in self._contract_of if held == table and key not in rows]
        for key in gone:
            self.put(Row(table, key, None))
        for key, contract in rows.items():
            self.put(Row(table, key, contract))

    def put(self, row: Row) -> None:
        """Take a row up. A contract that is none is told and leaves the key without one."""
        place = (row.table, row.key)
        contract = row.contract if row.contract and StrKey.is_valid_contract(row.contract) else None
        if row.contract and contract is None:
            self._refuse(row)
        before = self._contract_of.pop(place, None)
        if before is not None and before != contract:
            self._unwatch(row.table, before, row.key)
        if contract is None:
            self._unread.pop(place, None)
            return
        self._contract_of[place] = contract
        if before != contract:
            self._watch(row.table, contract, row.key)
            self._unread[place] = None

    def take_unread(self, most: int) -> list[Asked]:
        """Up to so many keys that were never read, each with its contract; they stay until `told`."""
        found: list[Asked] = []
        for (table, key), _ in zip(self._unread, range(most), strict=False):
            contract = self._contract_of[table, key]
            found += [Asked(contract, decoder, key) for decoder in self._decoders(table)]
        return found

    def told(self, asked: Iterable[Asked]) -> None:
        """These were read and published."""
        done = {(one.contract, one.key) for one in asked}
        kept = [place for place in self._unread if (self._contract_of[place], place[1]) not in done]
        self._unread = dict.fromkeys(kept)

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

    def _refuse(self, row: Row) -> None:
        self.refused += 1
        if self.refused <= _TOLD:
            log.warning(
                "A key is mapped to what is no contract", event_name="mapping_refused", table=row.table
            )

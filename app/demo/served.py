"""A network of the demo: ledgers that close when they are told to, served over RPC while it is entered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Final, Self

from app.clock import Clock
from app.demo import parts
from app.demo.rpc.config import NodeConfig
from app.demo.rpc.cursors import position_of
from app.demo.rpc.ledgers import Change, Event, Ledger
from app.demo.rpc.node import Node
from app.demo.rpc.server import Server

FIRST_LEDGER: Final = 1000
AS_SHIPPED: Final = NodeConfig()
_LIFE_LEDGERS: Final = 3_110_400


class ServedChain:
    """Served at `url` while it is entered. `address` is the host and the port to serve on; port 0 picks a
    free one."""

    def __init__(self, passphrase: str, clock: Clock, config: NodeConfig, address: tuple[str, int]) -> None:
        self.node = Node(replace(config, passphrase=passphrase), clock)
        self._server = Server(self.node, *address)
        self._ledger = FIRST_LEDGER - 1

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._server.__aexit__(*exception)

    @property
    def url(self) -> str:
        """The node's address."""
        return self._server.url

    def _change(self, entry: tuple[str, str]) -> Change:
        """An entry as it is from the ledger on that closes now."""
        key, held = entry
        return Change(key, held, self._ledger + _LIFE_LEDGERS)

    def _event(self, order: int, contract: str, topics: tuple[str, ...], payload: bytes) -> Event:
        """An event of the ledger that closes now, of the transaction at this place in it."""
        return Event(
            position_of(self._ledger, order),
            "contract",
            contract,
            topics,
            parts.text(payload),
            hash_of(f"transaction {self._ledger} {order}"),
        )

    def _seal(self, at_s: int, events: Iterable[Event], changes: Iterable[Change]) -> int:
        """The ledger is closed; its number."""
        number = self._ledger
        ledger = Ledger(number, at_s, hash_of(f"ledger {number}"), list(events), tuple(changes))
        self.node.ledgers.append(ledger)
        return number


def hash_of(what: str) -> str:
    """A hash such as a ledger or a transaction has."""
    return hashlib.sha256(what.encode()).hexdigest()

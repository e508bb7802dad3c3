"""The demo's network: a credit contract whose ledgers close when they are told to, served over RPC."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace
from typing import Final

from app.clock import Clock
from app.demo import credit_contract as contract
from app.demo.lines import STROOPS, Line
from app.demo.rpc.config import NodeConfig
from app.demo.rpc.cursors import position_of
from app.demo.rpc.ledgers import Change, Event, Ledger
from app.demo.rpc.node import Node
from app.demo.rpc.server import Server

FIRST_LEDGER: Final = 1000
AS_SHIPPED: Final = NodeConfig()
_LIFE_LEDGERS: Final = 3_110_400


@dataclass(slots=True)
class _Held:
    """What the contract remembers of a line between two changes."""

    line: Line
    rate_since_s: int


class DemoChain:
    """Served at `url` while it is entered. `write` queues, `close` makes it so: until then nobody sees it.

    Changes of one ledger are transactions in the order in which they were queued. `address` is the host and
    the port to serve on; port 0 picks a free one.
    """

    def __init__(
        self,
        passphrase: str,
        clock: Clock,
        config: NodeConfig = AS_SHIPPED,
        address: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        self.node = Node(replace(config, passphrase=passphrase), clock)
        self.contract_id = contract.contract_address(passphrase)
        self._server = Server(self.node, *address)
        self._entries = contract.Entries(self.contract_id)
        self._held: dict[str, _Held] = {}
        self._queued: list[tuple[str, Line, str | None]] = []
        self._ledger = FIRST_LEDGER - 1
        self._utilized = self._active = 0

    async def __aenter__(self) -> DemoChain:
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._server.__aexit__(*exception)

    @property
    def url(self) -> str:
        """The node's address."""
        return self._server.url

    def write(self, address: str, line: Line, event: str | None) -> None:
        """Let the borrower's line be `line` from the next ledger on; None as event: without telling anybody.

        Raises ValueError for an event that the contract has not, and for what is no address.
        """
        contract.address(address)
        if event is not None and event not in contract.PAYLOADS:
            raise ValueError(f"no event of the contract: {event!r}")
        self._queued.append((address, line, event))

    def close(self, at_us: int) -> int:
        """Close the next ledger at `at_us`, in whole seconds, with all that is queued; returns its number."""
        self._ledger += 1
        at_s = at_us // 1_000_000
        events: list[Event] = []
        changes: dict[str, Change] = {}
        for order, (address, line, event) in enumerate(self._queued, 1):
            amount = abs(line.utilized - self._used_by(address))
            self._remember(address, line, at_s, changes)
            if event is not None:
                payload = contract.PAYLOADS[event](address, line, amount, at_s)
                events.append(self._event(order, event, payload))
        for address in dict.fromkeys(address for address, _, _ in self._queued):
            held = self._held[address]
            value = contract.line_value(address, held.line, at_s, held.rate_since_s)
            self._put(changes, *self._entries.persistent(contract.address(address), value))
        if self._queued or self._ledger == FIRST_LEDGER:
            instance = self._entries.instance(len(self._held), self._active, self._utilized)
            self._put(changes, *instance)
        self._queued.clear()
        self.node.ledgers.append(
            Ledger(self._ledger, at_s, _hash(f"ledger {self._ledger}"), events, tuple(changes.values()))
        )
        return self._ledger

    def _used_by(self, address: str) -> int:
        held = self._held.get(address)
        return 0 if held is None else held.line.utilized

    def _remember(self, address: str, line: Line, at_s: int, changes: dict[str, Change]) -> None:
        before = self._held.get(address)
        if before is None:
            self._number(address, len(self._held), changes)
            self._held[address] = _Held(line, at_s)
            self._count(line, 1)
            return
        self._count(before.line, -1)
        self._count(line, 1)
        if line.rate_bps != before.line.rate_bps:
            before.rate_since_s = at_s
        before.line = line

    def _number(self, address: str, number: int, changes: dict[str, Change]) -> None:
        """A new line is listed under its number, from which all lines can be found."""
        who = contract.address(address)
        by_id = contract.vec(contract.symbol("CreditLineBorrowerById"), contract.u32(number))
        by_borrower = contract.vec(contract.symbol("CreditLineIdByBorrower"), who)
        self._put(changes, *self._entries.persistent(by_id, who))
        self._put(changes, *self._entries.persistent(by_borrower, contract.u32(number)))

    def _count(self, line: Line, sign: int) -> None:
        self._utilized += sign * line.utilized
        self._active += sign * (line.status == "active")

    def _put(self, changes: dict[str, Change], key: str, data: str) -> None:
        changes[key] = Change(key, data, self._ledger + _LIFE_LEDGERS)

    def _event(self, order: int, name: str, payload: bytes) -> Event:
        return Event(
            position_of(self._ledger, order),
            "contract",
            self.contract_id,
            contract.TOPICS[name],
            contract.text(payload),
            _hash(f"transaction {self._ledger} {order}"),
        )


def _hash(what: str) -> str:
    return hashlib.sha256(what.encode()).hexdigest()


async def keep_changing(chain: DemoChain, clock: Clock, ledger_s: int) -> None:
    """A small world on a chain, for ever: a few borrowers draw and repay, and a ledger closes on every
    multiple of `ledger_s` seconds."""
    chance = random.Random(1)
    borrowers = [contract.borrower_address(1, number) for number in range(20)]
    lines = {each: Line(chance.randrange(100, 50_000) * STROOPS, 0, 500) for each in borrowers}
    for each, line in lines.items():
        chain.write(each, line, "opened")
    step_us = ledger_s * 1_000_000
    due = clock.now_us() // step_us * step_us
    while True:
        chain.close(due)
        for each in chance.sample(borrowers, 3):
            before = lines[each]
            lines[each] = before._replace(utilized=chance.randrange(before.credit_limit))
            grew = lines[each].utilized > before.utilized
            chain.write(each, lines[each], "drawn" if grew else "repay")
        due += step_us
        await clock.sleep(max(0.0, (due - clock.now_us()) / 1_000_000))

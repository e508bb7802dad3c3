"""The demo's network: a credit contract whose ledgers close when they are told to, served over RPC."""

from __future__ import annotations

import random
from dataclasses import dataclass

from app.clock import Clock
from app.demo import credit_contract as contract
from app.demo import parts
from app.demo.lines import STROOPS, Line
from app.demo.rpc.config import NodeConfig
from app.demo.rpc.ledgers import Change, Event
from app.demo.served import AS_SHIPPED, FIRST_LEDGER, ServedChain

__all__ = ["AS_SHIPPED", "FIRST_LEDGER", "DemoChain", "keep_changing"]


@dataclass(slots=True)
class _Held:
    """What the contract remembers of a line between two changes."""

    line: Line
    rate_since_s: int


class DemoChain(ServedChain):
    """`write` queues, `close` makes it so: until then nobody sees it. Changes of one ledger are transactions
    in the order in which they were queued."""

    def __init__(
        self,
        passphrase: str,
        clock: Clock,
        config: NodeConfig = AS_SHIPPED,
        address: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        super().__init__(passphrase, clock, config, address)
        self.contract_id = contract.contract_address(passphrase)
        self._entries = parts.Entries(self.contract_id, contract.CODE)
        self._held: dict[str, _Held] = {}
        self._queued: list[tuple[str, Line, str | None]] = []
        self._utilized = self._active = 0

    def write(self, address: str, line: Line, event: str | None) -> None:
        """Let the borrower's line be `line` from the next ledger on; None as event: without telling anybody.

        Raises ValueError for an event that the contract has not, and for what is no address.
        """
        parts.address(address)
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
                events.append(self._event(order, self.contract_id, contract.TOPICS[event], payload))
        for address in dict.fromkeys(address for address, _, _ in self._queued):
            held = self._held[address]
            value = contract.line_value(address, held.line, at_s, held.rate_since_s)
            self._put(changes, *self._entries.persistent(parts.address(address), value))
        if self._queued or self._ledger == FIRST_LEDGER:
            instance = self._entries.instance(
                contract.counters(len(self._held), self._active, self._utilized)
            )
            self._put(changes, *instance)
        self._queued.clear()
        return self._seal(at_s, events, changes.values())

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
        who = parts.address(address)
        by_id = parts.vec(parts.symbol("CreditLineBorrowerById"), parts.u32(number))
        by_borrower = parts.vec(parts.symbol("CreditLineIdByBorrower"), who)
        self._put(changes, *self._entries.persistent(by_id, who))
        self._put(changes, *self._entries.persistent(by_borrower, parts.u32(number)))

    def _count(self, line: Line, sign: int) -> None:
        self._utilized += sign * line.utilized
        self._active += sign * (line.status == "active")

    def _put(self, changes: dict[str, Change], key: str, data: str) -> None:
        changes[key] = self._change((key, data))


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

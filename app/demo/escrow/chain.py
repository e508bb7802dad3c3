"""The demo's network of escrow contracts, one for each invoice."""

from __future__ import annotations

from app.clock import Clock
from app.demo.escrow import contract
from app.demo.escrow.books import Escrow
from app.demo.rpc.config import NodeConfig
from app.demo.rpc.ledgers import Event
from app.demo.served import AS_SHIPPED, ServedChain


class EscrowChain(ServedChain):
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
        self._held: dict[str, Escrow] = {}
        self._queued: list[tuple[Escrow, str | None]] = []

    def write(self, key: str, line: Escrow, event: str | None) -> None:
        """Let an invoice's contract hold this from the next ledger on; None as event: without telling
        anybody. Raises ValueError for an event that the contract has not."""
        if event is not None and event not in contract.PAYLOADS:
            raise ValueError(f"no event of the contract: {event!r}")
        self._queued.append((line, event))

    def close(self, at_us: int) -> int:
        """Close the next ledger at `at_us`, in whole seconds, with all that is queued; returns its number."""
        self._ledger += 1
        at_s = at_us // 1_000_000
        events: list[Event] = []
        for order, (escrow, event) in enumerate(self._queued, 1):
            before = self._held.get(escrow.contract)
            amount = abs(escrow.funded - (0 if before is None else before.funded))
            self._held[escrow.contract] = escrow
            if event is not None:
                payload = contract.PAYLOADS[event](escrow, amount, at_s)
                topics = contract.topics_of(event, escrow)
                events.append(self._event(order, escrow.contract, topics, payload))
        changed = dict.fromkeys(escrow.contract for escrow, _ in self._queued)
        self._queued.clear()
        changes = [self._change(contract.instance(self._held[each])) for each in changed]
        return self._seal(at_s, events, changes)

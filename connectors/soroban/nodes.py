"""Several RPC nodes as one: which of them is asked, when it is left alone, how often it may be asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from app.circuit import Breaker, Circuit
from app.clock import Clock
from app.errors import DriftwatchError, Fatal, Transient
from app.telemetry import get_logger
from connectors.soroban.allowance import Allowance
from connectors.soroban.answers import Health, Ledger, LedgerEntry, Network, OutOfRange, Page
from connectors.soroban.rpc import Filters, OverTime, Refused, Rpc, filters_of

log = get_logger(__name__)

T = TypeVar("T")
_NO_LIMIT_S: Final = 0.0


class NodeWatch(Protocol):
    """Is told how each node stands."""

    def node_stands(self, node: str, circuit: Circuit) -> None: ...
    def node_failed(self, node: str) -> None: ...
    def node_at(self, node: str, ledger: int) -> None: ...
    def rotated(self) -> None: ...
    def throttled(self, seconds: float) -> None: ...


class Unwatched:
    """Tells nobody."""

    def node_stands(self, node: str, circuit: Circuit) -> None: ...
    def node_failed(self, node: str) -> None: ...
    def node_at(self, node: str, ledger: int) -> None: ...
    def rotated(self) -> None: ...
    def throttled(self, seconds: float) -> None: ...


@dataclass(slots=True)
class Node:
    """One node and how it stands. `name` may be shown: it holds no credential. `is_checked`: it was asked
    which network it serves, since its last trouble."""

    name: str
    rpc: Rpc
    rate: Allowance | None = None
    breaker: Breaker = field(default_factory=Breaker)
    is_checked: bool = False


class Nodes:
    """Implements `NodeApi`. The node in use stays in use until it fails or is turned away; then the next one
    whose circuit is not open takes over, and the failure is the caller's to see: what it was doing began at
    another node, and must begin again.

    No node is believed before it has said that it serves `passphrase`; one that serves another network, or
    refuses us, is left alone while any other answers, and is `Fatal` where none does.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        passphrase: str,
        clock: Clock,
        budget: Allowance | None = None,
        watch: NodeWatch | None = None,
    ) -> None:
        self._nodes, self._passphrase, self._clock = list(nodes), passphrase, clock
        self._budget, self._watch = budget, watch or Unwatched()
        self._place = 0
        for node in nodes:
            self._watch.node_stands(node.name, Circuit.CLOSED)

    @property
    def subject(self) -> str:
        return self._nodes[self._place].name

    async def close(self) -> None:
        for node in self._nodes:
            await node.rpc.close()

    async def check_passphrase(self, passphrase: str) -> None:
        """Ask every node. Raises `Fatal` for one of another network, `Transient` when none answers."""
        failed: DriftwatchError | None = None
        for node in self._nodes:
            try:
                await self._spend(node)
                await node.rpc.check_passphrase(passphrase)
                self._succeeded(node)
                node.is_checked = True
            except Transient as error:
                failed = error
                self._failed(node, error.retry_after_s)
        if failed is not None and not any(node.is_checked for node in self._nodes):
            raise failed

    async def get_health(self) -> Health:
        found = await self._ask(lambda rpc: rpc.get_health())
        self._watch.node_at(self.subject, found.latest_ledger)
        return found

    async def get_network(self) -> Network:
        return await self._ask(lambda rpc: rpc.get_network())

    async def get_events(self, contracts: Sequence[str], start: int | str, limit: int = 1000) -> Page:
        return await self.find_events(filters_of(contracts), start, limit)

    async def find_events(
        self, filters: Filters, start: int | str, limit: int, until: int | None = None
    ) -> Page:
        found = await self._ask(lambda rpc: rpc.find_events(filters, start, limit, until))
        self._watch.node_at(self.subject, found.latest_ledger)
        return found

    async def get_ledger(self, ledger: int) -> Ledger | None:
        return await self._ask(lambda rpc: rpc.get_ledger(ledger))

    async def get_ledger_entries(self, keys: Sequence[str]) -> tuple[int, dict[str, LedgerEntry]]:
        return await self._ask(lambda rpc: rpc.get_ledger_entries(keys))

    def turn_away(self, reason: str) -> bool:
        """Ask another node from here on, because what this one says is of no use (it is behind, or stale).
        False where there is no other that may be asked."""
        found = self._next_place()
        if found is None:
            return False
        log.info("Asks another node", event_name="rpc_rotation", node=self._nodes[found].name, reason=reason)
        self._place = found
        self._watch.rotated()
        return True

    async def _ask(self, ask: Callable[[Rpc], Awaitable[T]]) -> T:
        node = self._choose()
        try:
            if not node.is_checked:
                await self._spend(node)
                await node.rpc.check_passphrase(self._passphrase)
                node.is_checked = True
            await self._spend(node)
            found = await ask(node.rpc)
        except (OutOfRange, OverTime, Refused):
            self._succeeded(node)  # it answers; whether another would say more is for the caller to judge
            raise
        except Transient as error:
            self._failed(node, error.retry_after_s)
            self.turn_away(str(error))
            raise
        except Fatal as error:
            raise self._refused(node, error) from error
        self._succeeded(node)
        return found

    def _choose(self) -> Node:
        now_s = self._clock.monotonic_s()
        if self._nodes[self._place].breaker.rests_s(now_s) > _NO_LIMIT_S and not self.turn_away("it rests"):
            rest_s = min(node.breaker.rests_s(now_s) for node in self._nodes)
            cause = "its circuit is open" if len(self._nodes) == 1 else "the circuits of all nodes are open"
            raise Transient("asking", self.subject, cause, retry_after_s=rest_s)
        node = self._nodes[self._place]
        if node.breaker.circuit(now_s) is Circuit.HALF_OPEN:
            self._watch.node_stands(node.name, Circuit.HALF_OPEN)
        return node

    def _next_place(self) -> int | None:
        now_s = self._clock.monotonic_s()
        others = [(self._place + step) % len(self._nodes) for step in range(1, len(self._nodes))]
        ready = [place for place in others if self._nodes[place].breaker.rests_s(now_s) == _NO_LIMIT_S]
        closed = [place for place in ready if self._nodes[place].breaker.circuit(now_s) is Circuit.CLOSED]
        return next(iter(closed or ready), None)

    async def _spend(self, node: Node) -> None:
        for allowance in (self._budget, node.rate):
            if allowance is not None:
                before = allowance.waited_s
                await allowance.spend()
                self._watch.throttled(allowance.waited_s - before)

    def _succeeded(self, node: Node) -> None:
        if node.breaker.circuit(self._clock.monotonic_s()) is not Circuit.CLOSED:
            log.info("A node answers again", event_name="rpc_node_back", node=node.name)
        node.breaker.succeed()
        self._watch.node_stands(node.name, Circuit.CLOSED)

    def _failed(self, node: Node, named_s: float | None) -> None:
        now_s = self._clock.monotonic_s()
        node.breaker.fail(now_s, named_s)
        self._watch.node_failed(node.name)
        self._tell(node, now_s)

    def _refused(self, node: Node, error: Fatal) -> DriftwatchError:
        """What the caller is told: to begin again at another node where one may be asked, else the end."""
        now_s = self._clock.monotonic_s()
        node.breaker.refuse(now_s)
        self._watch.node_failed(node.name)
        self._tell(node, now_s)
        if not self.turn_away(str(error)):
            return error
        log.error("A node refuses us", event_name="rpc_node_refuses", node=node.name, reason=str(error))
        return Transient(error.operation, node.name, error.cause, error.hint)

    def _tell(self, node: Node, now_s: float) -> None:
        circuit = node.breaker.circuit(now_s)
        if circuit is Circuit.OPEN:
            node.is_checked = False
        self._watch.node_stands(node.name, circuit)

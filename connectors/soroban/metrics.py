"""What the poller shows of itself on `/metrics`."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from app.circuit import Circuit
from app.telemetry import get_logger
from connectors.soroban.contracts.custom import DecoderFailed
from connectors.soroban.reader import EntryState

log = get_logger(__name__)

_TOLD: Final = 10
STATES: Final = ("standby", "catching_up", "tip", "node_behind", "gap", "unreachable")


class PollerMetrics:
    """One network's gauges and counters. `state` is the one of `driftwatch_chain_state` that is 1; `gap` is
    shown from a gap's transaction until the next step, `unreachable` while no node answers. Nodes are shown
    by scheme, host and port."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.ledger = Gauge(
            "driftwatch_chain_ledger", "Ledger up to which all is published", registry=self.registry
        )
        self.lag = Gauge(
            "driftwatch_chain_lag_seconds", "Age of that ledger's known close time", registry=self.registry
        )
        self._states = Gauge(
            "driftwatch_chain_state",
            "1 for the state that the poller is in",
            ["state"],
            registry=self.registry,
        )
        self._requests = Counter(
            "driftwatch_rpc_requests", "Calls of the node", ["method", "outcome"], registry=self.registry
        )
        self.events = Counter("driftwatch_chain_events", "Events published", registry=self.registry)
        self._entries = Counter(
            "driftwatch_entries_read", "Entries read because of events", ["outcome"], registry=self.registry
        )
        self.undecodable = Counter(
            "driftwatch_events_undecodable", "Values of events kept as XDR", registry=self.registry
        )
        self._decoder_failures = Counter(
            "driftwatch_decoder_failures",
            "Events whose keys a decoder of the user's own could not tell",
            registry=self.registry,
        )
        self._lost = Counter(
            "driftwatch_ledgers_lost", "Ledgers that left retention unread", registry=self.registry
        )
        self.rotations = Counter(
            "driftwatch_rpc_rotations", "Changes to another node", registry=self.registry
        )
        self._circuits = Gauge(
            "driftwatch_rpc_node_circuit",
            "1 for the state that a node's circuit is in",
            ["node", "circuit"],
            registry=self.registry,
        )
        self._failures = Counter(
            "driftwatch_rpc_node_failures",
            "Calls that a node did not answer",
            ["node"],
            registry=self.registry,
        )
        self._node_ledger = Gauge(
            "driftwatch_rpc_node_ledger", "Latest ledger that a node told", ["node"], registry=self.registry
        )
        self._throttled = Counter(
            "driftwatch_rpc_throttled_seconds",
            "Time spent waiting for the calls allowed a second and a day",
            registry=self.registry,
        )
        self.upgrades = Counter(
            "driftwatch_contract_upgrades", "Contracts that got other code", registry=self.registry
        )
        self.refused = Gauge(
            "driftwatch_mapping_refused",
            "Keys mapped to what is no contract, and keys that no contract can hold",
            registry=self.registry,
        )
        self.epochs = Counter(
            "driftwatch_chain_epochs", "Times that the network began anew", registry=self.registry
        )
        self._told = 0
        self.state = ""
        self.circuits: dict[str, str] = {}
        self.enter("standby")

    def enter(self, state: str) -> None:
        """Be in this state, and in no other."""
        if state != self.state:
            self.state = state
            for name in STATES:
                self._states.labels(name).set(name == state)

    def request(self, method: str, outcome: str) -> None:
        """Count a call of the node."""
        self._requests.labels(method, outcome).inc()

    def published(self, events: int, ledger: int) -> None:
        """Count a batch."""
        self.events.inc(events)
        self.ledger.set(ledger)

    def entry_read(self, state: EntryState, ledger: int) -> None:
        """Count an entry by what the read of this ledger said. An archived entry is there: nobody may change
        it before it is restored, and that is all."""
        outcome = "absent" if not state.exists else "undecodable" if state.problem else "present"
        if outcome == "present" and state.live_until is not None and state.live_until < ledger:
            outcome = "archived"
        self._entries.labels(outcome).inc()

    def decoder_failed(self, failure: DecoderFailed) -> None:
        """Count an event whose keys nobody can tell, and tell of the first ones."""
        self._decoder_failures.inc()
        self._told += 1
        if self._told <= _TOLD:
            log.warning("A decoder failed on an event", event_name="decoder_failed", reason=str(failure))

    def lost(self, ledgers: int) -> None:
        """Count lost ledgers."""
        self._lost.inc(ledgers)

    def node_stands(self, node: str, circuit: Circuit) -> None:
        """Show a node's circuit."""
        self.circuits[node] = circuit.value
        for each in Circuit:
            self._circuits.labels(node, each.value).set(each is circuit)

    def node_failed(self, node: str) -> None:
        """Count a call without an answer."""
        self._failures.labels(node).inc()

    def node_at(self, node: str, ledger: int) -> None:
        """Show how far a node is."""
        self._node_ledger.labels(node).set(ledger)

    def rotated(self) -> None:
        """Count a change to another node."""
        self.rotations.inc()

    def throttled(self, seconds: float) -> None:
        """Count time that was waited for allowed calls."""
        self._throttled.inc(seconds)

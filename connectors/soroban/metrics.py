"""What the poller shows of itself on `/metrics`."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from connectors.soroban.reader import EntryState

STATES: Final = ("standby", "catching_up", "tip", "node_behind", "gap")


class PollerMetrics:
    """One network's gauges and counters. `state` is the one of `driftwatch_chain_state` that is 1; `gap` is
    shown from a gap's transaction until the next step."""

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
        self._lost = Counter(
            "driftwatch_ledgers_lost", "Ledgers that left retention unread", registry=self.registry
        )
        self.state = ""
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

    def entry_read(self, state: EntryState) -> None:
        """Count an entry by what the read said."""
        outcome = "absent" if not state.exists else "undecodable" if state.problem else "present"
        self._entries.labels(outcome).inc()

    def lost(self, ledgers: int) -> None:
        """Count lost ledgers."""
        self._lost.inc(ledgers)

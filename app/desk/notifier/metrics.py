"""The notifier's metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge

from app.circuit import Circuit
from app.notices import Depth, Outcome


class NotifierMetrics:
    """All `driftwatch_webhook_*`. Each target has all its series from the start, so that the first failure
    counts as an increase."""

    def __init__(self, targets: Sequence[str] = ()) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.transitions = Counter(
            "driftwatch_webhook_transitions",
            "Transitions taken in, for the first time or again",
            ["what"],
            registry=registry,
        )
        self.refused = Gauge(
            "driftwatch_webhook_refused", "Records that are no transition, since the start", registry=registry
        )
        self.deliveries = Counter(
            "driftwatch_webhook_deliveries",
            "Attempts, by what became of them",
            ["target", "outcome"],
            registry=registry,
        )
        self.queue = Gauge(
            "driftwatch_webhook_queue", "Notices not delivered yet", ["target"], registry=registry
        )
        self.oldest = Gauge(
            "driftwatch_webhook_oldest_seconds",
            "How long the oldest of them has waited",
            ["target"],
            registry=registry,
        )
        self.dead = Gauge(
            "driftwatch_webhook_dead_letters",
            "Notices given up and not sent again",
            ["target"],
            registry=registry,
        )
        self.circuit = Gauge(
            "driftwatch_webhook_circuit",
            "1 for how the target's circuit stands",
            ["target", "circuit"],
            registry=registry,
        )
        self.failures = Counter(
            "driftwatch_webhook_failures",
            "Rounds that failed within ourselves",
            ["target"],
            registry=registry,
        )
        for what in ("new", "again"):
            self.transitions.labels(what)
        for target in targets:
            self.failures.labels(target)
            for outcome in Outcome:
                self.deliveries.labels(target, outcome.value)
            self.show_depth(target, Depth(0, 0.0, 0))
            self.show_circuit(target, Circuit.CLOSED)

    def count_refused(self, count: Callable[[], float]) -> None:
        """Ask this for the number of records that were no transition."""
        self.refused.set_function(count)

    def show_depth(self, target: str, depth: Depth) -> None:
        """How much a target has not been told."""
        self.queue.labels(target).set(depth.waiting)
        self.oldest.labels(target).set(depth.oldest_s)
        self.dead.labels(target).set(depth.dead)

    def show_circuit(self, target: str, circuit: Circuit) -> None:
        """How its circuit stands."""
        for each in Circuit:
            self.circuit.labels(target, each.value).set(each is circuit)

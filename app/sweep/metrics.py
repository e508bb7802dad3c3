"""The sweeper's metrics."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from app.clock import Clock
from app.detector.model import SECOND
from app.sweep.sweep_run import OVER, SweepRun

PARTS: Final = ("in_sync", "drifting", "in_flight", "exempt", "unverifiable", "repaired", "errors")


class ConfirmMetrics:
    """All `driftwatch_confirm_*` of a sweeper."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.answers = Counter(
            "driftwatch_confirm_answers",
            "Questions about suspects, by what became of them",
            ["rule", "outcome"],
            registry=registry,
        )
        self.history = Counter(
            "driftwatch_confirm_history",
            "Suspects whose entry was looked up in the ledgers that changed it, by what that told",
            ["rule", "outcome"],
            registry=registry,
        )
        self.duration = Histogram(
            "driftwatch_confirm_duration_seconds",
            "From a question to its answer in the topic",
            buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=registry,
        )
        self.trouble = Counter(
            "driftwatch_confirm_trouble", "Failures to take or answer questions", registry=registry
        )


class HistoryMetrics:
    """All `driftwatch_before_images_*` of a sweeper. `through_us`: the close time up to which every change is
    told of, None before the first mark."""

    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        self._clock = clock
        self.through_us: int | None = None
        self.images = Counter(
            "driftwatch_before_images",
            "Entries that events named, by what the ledgers told of them before",
            ["rule", "outcome"],
            registry=registry,
        )
        self.trouble = Counter(
            "driftwatch_before_images_trouble",
            "Failures that passed: calls of the nodes, of Kafka",
            registry=registry,
        )
        Gauge(
            "driftwatch_before_images_lag_seconds",
            "Now less the close of the ledger up to which all is told",
            registry=registry,
        ).set_function(self._lag_s)

    def _lag_s(self) -> float:
        if self.through_us is None:
            return 0.0
        return max(0.0, (self._clock.now_us() - self.through_us) / SECOND)


class SweepMetrics:
    """All `driftwatch_sweep_*` of a sweeper, and those of its confirmations and before-images."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.registry = CollectorRegistry()
        registry = self.registry
        self.reads = Counter(
            "driftwatch_sweep_reads", "Rows and entries read", ["rule", "side"], registry=registry
        )
        self.runs = Counter(
            "driftwatch_sweep_runs", "Sweeps that are over", ["rule", "state"], registry=registry
        )
        self.running = Gauge(
            "driftwatch_sweep_running", "1 while the rule is swept", ["rule"], registry=registry
        )
        self.keys = Gauge(
            "driftwatch_sweep_keys",
            "Keys of the last sweep, by what they were",
            ["rule", "part"],
            registry=registry,
        )
        self.finished = Gauge(
            "driftwatch_sweep_done_timestamp_seconds",
            "When the rule was last swept",
            ["rule"],
            registry=registry,
        )
        self.duration = Gauge(
            "driftwatch_sweep_duration_seconds", "How long the last sweep took", ["rule"], registry=registry
        )
        self.gave_way = Counter(
            "driftwatch_sweep_gave_way_seconds",
            "Time that sweeps stood still for workers that were behind",
            ["rule"],
            registry=registry,
        )
        self.refused = Counter(
            "driftwatch_sweep_requests_refused", "Requests that nobody can understand", registry=registry
        )

        self.confirm = ConfirmMetrics(registry)
        self.history = HistoryMetrics(registry, clock)

    def count(self, rule: str, rows: int, entries: int) -> None:
        """What was read."""
        self.reads.labels(rule, "left").inc(rows)
        self.reads.labels(rule, "right").inc(entries)

    def show(self, run: SweepRun) -> None:
        """The parts of a run as they stand."""
        record = run.record()
        self.running.labels(run.rule).set(run.state not in OVER)
        for part in PARTS:
            self.keys.labels(run.rule, part).set(float(str(record[part])))

    def finish(self, run: SweepRun) -> None:
        """A run is over."""
        self.show(run)
        self.runs.labels(run.rule, run.state.value).inc()
        now = self._clock.now_us()
        if run.is_complete:
            self.finished.labels(run.rule).set(now / SECOND)
            self.duration.labels(run.rule).set((now - (run.started_at or now)) / SECOND)

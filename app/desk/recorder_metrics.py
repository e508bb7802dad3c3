"""The recorder's metrics: of its own work, and with them what the store counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from app.clock import Clock
from app.desk.recorder_counts import Counted
from app.recording import FORGOTTEN, Kind, Place


class RecorderMetrics:
    """All series of a recorder. What the store counts is shown by one recorder only (`counted`)."""

    def __init__(self, clock: Clock, checks: Mapping[str, Sequence[str]]) -> None:
        self._clock = clock
        self._oldest_ms: int | None = None
        self.registry = registry = CollectorRegistry()
        self.counted = Counted(checks)
        registry.register(self.counted)
        self.records = Counter(
            "driftwatch_recorder_records", "Records that were recorded, by table", ["kind"], registry=registry
        )
        for kind in Kind:
            self.records.labels(kind.value)
        self.skipped = Counter(
            "driftwatch_recorder_skipped", "Records that nothing is kept of", ["cause"], registry=registry
        )
        self.refused = Counter(
            "driftwatch_recorder_refused", "Records that nobody could read or keep", registry=registry
        )
        self.mismatches = Counter(
            "driftwatch_recorder_mismatches",
            "Episodes that were opened or opened again, logged before they are stored",
            ["rule", "severity"],
            registry=registry,
        )
        self.escrow_mismatches = Counter(
            "escrow_reconciliation_mismatches", "The same, of rules over escrow contracts", registry=registry
        )
        self.lag = Gauge(
            "driftwatch_recorder_lag_records",
            "Records of this recorder's partitions that are not recorded yet",
            ["topic", "partition"],
            registry=registry,
        )
        self.queue = Gauge(
            "driftwatch_recorder_queue_records", "Records in hand that are not stored yet", registry=registry
        )
        delay = Gauge(
            "driftwatch_recorder_delay_seconds", "Age of the oldest record in hand", registry=registry
        )
        delay.set_function(self._delay_s)
        self.stored = Histogram(
            "driftwatch_recorder_processing_seconds",
            "How long a batch took to be stored",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
            registry=registry,
        )
        self.forgotten = Counter(
            "driftwatch_recorder_forgotten",
            "What was deleted when it had been over for DRIFTWATCH_RETAIN, by table",
            ["table"],
            registry=registry,
        )
        for table in FORGOTTEN:
            self.forgotten.labels(table)
        self.database_up = Gauge(
            "driftwatch_recorder_database_up", "1 while the store takes records", registry=registry
        )

    def take(self, count: int, oldest_ms: int | None) -> None:
        """So many records are in hand, the oldest of this time (milliseconds UTC)."""
        self.queue.set(count)
        self._oldest_ms = oldest_ms

    def show_lag(self, behind: Mapping[Place, int]) -> None:
        """Of the partitions that are held now, and no others."""
        self.lag.clear()
        for place, count in behind.items():
            self.lag.labels(place.topic, str(place.partition)).set(count)

    def _delay_s(self) -> float:
        if self._oldest_ms is None:
            return 0.0
        return max(0.0, self._clock.now_us() / 1_000_000 - self._oldest_ms / 1000)

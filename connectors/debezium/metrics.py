"""What the supervision of the connector shows of itself on `/metrics`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from connectors.debezium.database import SlotState


class ConnectMetrics:
    """The connector and its slot."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.up = Gauge(
            "driftwatch_connector_up",
            "1 while Connect says that the connector and its task run",
            registry=self.registry,
        )
        self.restarts = Counter(
            "driftwatch_connector_restarts",
            "Times that the connector was begun again",
            registry=self.registry,
        )
        self._present = Gauge(
            "driftwatch_slot_present",
            "1 while the replication slot is there and not lost",
            registry=self.registry,
        )
        self._active = Gauge("driftwatch_slot_active", "1 while somebody streams it", registry=self.registry)
        self._behind = Gauge(
            "driftwatch_slot_behind_bytes", "WAL not yet confirmed as streamed", registry=self.registry
        )
        self._kept = Gauge(
            "driftwatch_slot_kept_bytes", "WAL that the server keeps for the slot", registry=self.registry
        )
        self.clock_offset = Gauge(
            "driftwatch_database_clock_offset_seconds",
            "The database's clock less ours",
            registry=self.registry,
        )

        self.columns_missing = Gauge(
            "driftwatch_columns_missing",
            "Columns that rules read and the table has not",
            ["table"],
            registry=self.registry,
        )

    def show_slot(self, slot: SlotState | None) -> None:
        """Show the slot as it is now."""
        self._present.set(slot is not None and not slot.is_lost)
        self._active.set(slot is not None and slot.is_active)
        self._behind.set(0 if slot is None else slot.behind_bytes)
        self._kept.set(0 if slot is None else slot.kept_bytes)

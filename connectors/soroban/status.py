"""The record of `drift.status` that says how far a network is followed, and when it is due."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson

from app.clock import Clock
from connectors.soroban.metrics import PollerMetrics
from connectors.soroban.poller import Progress
from connectors.soroban.records import Keyed
from connectors.soroban.times import text_of

EVERY_S: Final = 10.0
_MILLISECOND: Final = 1000


class StatusReport:
    """Tells when the state or a node's circuit has changed, and every ten seconds."""

    def __init__(self, network: str, metrics: PollerMetrics, clock: Clock) -> None:
        self._network, self._metrics, self._clock = network, metrics, clock
        self._told: tuple[str, Mapping[str, str]] | None = None
        self._told_s = 0.0

    def due(self, progress: Progress | None) -> Keyed | None:
        """The record, where it is time for one."""
        metrics, now_s = self._metrics, self._clock.monotonic_s()
        if progress is None or metrics.state == "standby":
            return None
        stands = metrics.state, dict(metrics.circuits)
        if stands == self._told and now_s - self._told_s < EVERY_S:
            return None
        self._told, self._told_s = stands, now_s
        now_us = self._clock.now_us()
        body = {
            "network": self._network,
            "state": metrics.state,
            "epoch": progress.epoch,
            "ledger": max(0, progress.ledger),
            "latest_ledger": None if progress.latest < 0 else progress.latest,
            "closed_at": None if progress.closed_at is None else text_of(progress.closed_at),
            "nodes": stands[1],
            "updated_at": text_of(now_us - now_us % _MILLISECOND),
        }
        return Keyed(f"chain|{self._network}", orjson.dumps(body))

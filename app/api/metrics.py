"""The API's metrics."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class ApiMetrics:
    """All `driftwatch_api_*` of one process. `route` is the pattern and never a path that was asked for."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "driftwatch_api_requests", "Answers given", ["route", "method", "status"], registry=registry
        )
        self.duration = Histogram(
            "driftwatch_api_request_duration_seconds",
            "From the request's head to the answer's end",
            ["route"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.refused_keys = Counter(
            "driftwatch_api_refused_keys", "Requests without a good key", ["cause"], registry=registry
        )
        self.limited = Counter(
            "driftwatch_api_rate_limited", "Requests over a limit", ["limit"], registry=registry
        )
        self.database_up = Gauge(
            "driftwatch_api_database_up", "1 while the desk's database answers", registry=registry
        )

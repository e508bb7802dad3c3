"""How a node is set up: its network, its limits, its retention."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)")


DEFAULT_NETWORK: Final = "simnode network ; 2026"
"""What a node serves that is told nothing else, as the recorded one did."""


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """The defaults of stellar-rpc 28; times in seconds, retention in ledgers, queues in requests."""

    passphrase: str = DEFAULT_NETWORK
    friendbot: str = ""
    protocol: int = 27
    retention: int = 120_960
    scan_ledgers: int = 10_000
    max_latency_s: float = 30.0
    max_events: int = 10_000
    default_events: int = 100
    max_events_time_s: float = 10.0
    max_request_time_s: float = 25.0
    max_core_time_s: float = 2.0
    events_queue: int = 1000
    global_queue: int = 5000


def parse_duration(text: str) -> float:
    """Seconds of a duration in Go's form (`1.5s`, `1h30m`); raises ValueError."""
    if text == "0":
        return 0.0
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration such as 1.5s, 30s or 2h")
    return float(sum(float(number) * _UNITS[unit] for number, unit in parts))


def duration_text(seconds: int) -> str:
    """Whole seconds as Go writes a duration: `31s`, `2m5s`, `1h0m5s`."""
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{left}s"
    return f"{minutes}m{left}s" if minutes else f"{left}s"

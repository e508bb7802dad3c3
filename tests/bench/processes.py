"""What the processes of a measurement have used: CPU seconds, and memory, of all that we have started."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(names: Mapping[int, str]) -> dict[str, float]:
    """User and system seconds so far of this process and all below it, those that have ended included; by the
    names of the process ids that have one, else by program."""
    parents: dict[int, int] = {}
    used: dict[int, tuple[str, float]] = {}
    for folder in PROC.iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                program, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(")")
                fields = rest.split()
                pid = int(folder.name)
                parents[pid] = int(fields[1])
                used[pid] = program, (int(fields[11]) + int(fields[12])) / _TICKS
    found: dict[str, float] = {}
    for pid, (program, seconds) in used.items():
        if pid == os.getpid() or _is_below(pid, parents):
            name = names.get(pid, program)
            found[name] = found.get(name, 0.0) + seconds
    return found


def _is_below(pid: int, parents: Mapping[int, int]) -> bool:
    while pid in parents:
        pid = parents[pid]
        if pid == os.getpid():
            return True
    return False


def memory_mb(pid: int) -> float:
    """Resident memory; 0 for a process that is gone."""
    with suppress(OSError):
        for line in (PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    return 0.0

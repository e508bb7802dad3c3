"""What a real stellar-rpc 28 answered to recorded calls, the simulator answers too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SHARED = Path(__file__).parents[3] / "shared"


def test_every_recorded_call_is_answered_as_the_real_server_did() -> None:
    player = SHARED / "tools" / "rpc_conformance.py"
    recording = SHARED / "fixtures" / "soroban" / "rpc_conformance.jsonl"
    node = (sys.executable, "-m", "app", "simulate-rpc")
    played = subprocess.run(
        [sys.executable, player, recording, *node],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    assert played.returncode == 0, played.stdout[-4000:] + played.stderr[-4000:]
    calls = int(played.stdout.split()[0])
    assert played.stdout == f"{calls} calls, 0 differ\n"
    assert calls > 280

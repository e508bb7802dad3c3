"""Kills, freezes and restarts for some minutes on a broker of its own, then says what was lost or doubled."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

from app.clock import SystemClock
from app.native.kafka import NativeKafka
from app.native.stack import NativeStack
from tests.support.crash import Crash, Plan, Verdict

STAGES = ("publish", "write0", "write1")


async def run(arguments: argparse.Namespace, folder: Path) -> list[Verdict]:
    """The big plan, then the one in which only the gate in front of the commit can help."""
    async with NativeStack(folder / "stack", SystemClock()) as stack:
        plans = [
            Plan(
                stack.kafka,
                kills=arguments.kills,
                workers=arguments.workers,
                freezes=arguments.freezes,
                seed=arguments.seed,
                stages=STAGES,
                restart_broker=None if stack.broker is None else lambda: restart(stack.broker),
                report=report,
            ),
            Plan(stack.kafka, kills=5, seed=arguments.seed, is_slow=True, report=report),
        ]
        verdicts = []
        for number, plan in enumerate(plans):
            place = folder / str(number)
            place.mkdir()
            verdicts.append(await Crash(plan, place).run())
        return verdicts


async def restart(broker: NativeKafka | None) -> None:
    """The broker goes and comes back at the same address, on its data."""
    if broker is not None:
        await broker.stop()
        await broker.start()


def report(line: str) -> None:
    print(line, flush=True)


def show(verdict: Verdict) -> None:
    """What was found, a line each."""
    for field in fields(verdict):
        print(f"  {field.name:20} {getattr(verdict, field.name)}")
    print(f"  {'verdict':20} {'right' if verdict.is_right else 'WRONG'}", flush=True)


def main() -> int:
    """0 when nothing was lost or doubled; 1 when something was, or when it took too long."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    for name, default in (("kills", 50), ("workers", 2), ("freezes", 5), ("seed", 1), ("minutes", 25)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="driftwatch-crash-") as folder:
        limited = asyncio.wait_for(run(arguments, Path(folder)), arguments.minutes * 60)
        try:
            verdicts = asyncio.run(limited)
        except TimeoutError:
            print(f"not done within {arguments.minutes} minutes", file=sys.stderr)
            return 1
    for verdict in verdicts:
        show(verdict)
    frozen_lived = any(code == 0 for verdict in verdicts for code in verdict.frozen_exits)
    return 0 if all(verdict.is_right for verdict in verdicts) and not frozen_lived else 1


if __name__ == "__main__":
    raise SystemExit(main())

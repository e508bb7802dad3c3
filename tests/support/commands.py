"""`driftwatch …` as a user runs it: a child process with an environment of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.support.waiting import eventually


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


async def run_command(
    *arguments: str, environment: Mapping[str, str] | None = None, within: float = 60.0
) -> Finished:
    """Run to the end; past `within` seconds it is killed and the test fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "app",
        *arguments,
        env={**os.environ, **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), within)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())


@dataclass(slots=True)
class Running:
    """A command that goes on; `log` holds what it said."""

    process: asyncio.subprocess.Process
    log: Path
    port: int | None

    async def readiness(self) -> str:
        """What `/readyz` says; empty while nothing answers."""
        with suppress(aiohttp.ClientError, OSError):
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{self.port}/readyz") as answer,
            ):
                return (await answer.text()).strip()
        return ""

    async def metrics(self) -> str:
        """The text of `/metrics`."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.port}/metrics") as answer,
        ):
            return await answer.text()

    async def until_ready(self, within: float = 60.0) -> None:
        """Wait for `/readyz`; fails with the log when the process ends or takes longer."""

        async def is_ready() -> bool:
            assert self.process.returncode is None, self.log.read_text()
            return await self.readiness() == "ok"

        await eventually(is_ready, within)

    async def stop(self, how: signal.Signals = signal.SIGTERM, within: float = 30.0) -> int:
        """Its exit code after the signal."""
        with suppress(ProcessLookupError):
            self.process.send_signal(how)
        return await asyncio.wait_for(self.process.wait(), within)


@asynccontextmanager
async def running_command(
    *arguments: str, environment: Mapping[str, str], log: Path, port: int | None = None
) -> AsyncIterator[Running]:
    """A command that runs inside the context; gone afterwards."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "app",
            *arguments,
            env={**os.environ, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    running = Running(process, log, port)
    try:
        yield running
    finally:
        if process.returncode is None:
            with suppress(TimeoutError):
                await running.stop(within=15.0)
        if process.returncode is None:
            process.kill()
            await process.wait()

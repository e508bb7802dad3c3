"""Runs driftwatch's own processes: starts them, starts again those that die, stops them all."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from app.clock import Clock
from app.errors import Fatal
from app.native.child import dies_with_parent, end_within, log_tail
from app.telemetry import get_logger

log = get_logger(__name__)

RESTART_AFTER_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Pauses before a process that died is started again; the last one goes on."""

_LOOK_S: Final = 0.5

EXIT_REFUSED: Final = 2
"""What a command exits with that will not start as it is configured: starting it again changes nothing."""


@dataclass(frozen=True, slots=True)
class Service:
    """One of our processes: `driftwatch <arguments>`, its probes on `port`. One that `ends` is not restarted
    once it has ended well."""

    name: str
    arguments: tuple[str, ...]
    port: int | None = None
    ends: bool = False


@dataclass(slots=True)
class _Running:
    service: Service
    process: asyncio.subprocess.Process
    starts: int = 1
    watcher: asyncio.Task[None] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """The processes of one system. Logs go to `<folder>/<name>.log`; leaving the context ends them all."""

    def __init__(self, folder: Path, environment: Mapping[str, str], clock: Clock) -> None:
        self.folder, self.clock = folder, clock
        self.environment = {**os.environ, **environment}
        self.restarts: dict[str, int] = {}
        self.refused: asyncio.Future[None] | None = None
        self._running: dict[str, _Running] = {}
        self._stopping = False

    async def __aenter__(self) -> Supervisor:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.refused = asyncio.get_running_loop().create_future()
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self._session.close()
        if self.refused is not None and self.refused.done():
            self.refused.exception()

    async def start(self, service: Service) -> None:
        """Start a process, and again whenever it dies."""
        running = _Running(service, await self._spawn(service))
        self._running[service.name] = running
        running.watcher = asyncio.create_task(self._watch(running))

    async def _spawn(self, service: Service) -> asyncio.subprocess.Process:
        with (self.folder / f"{service.name}.log").open("ab") as output:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "app",
                *service.arguments,
                env=self.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=dies_with_parent(signal.SIGTERM),
            )

    async def _watch(self, running: _Running) -> None:
        """Start the process again when it died. A refusal to start is final: it fails `until_refused`."""
        service = running.service
        while True:
            code = await running.process.wait()
            if self._stopping or (service.ends and code == 0):
                running.ended.set()
                return
            if code == EXIT_REFUSED:
                self._refuse(service)
                return
            pause_s = RESTART_AFTER_S[min(running.starts, len(RESTART_AFTER_S)) - 1]
            log.warning("a process died", event_name="died", process=service.name, code=code)
            await self.clock.sleep(pause_s)
            running.process = await self._spawn(service)
            running.starts += 1
            self.restarts[service.name] = self.restarts.get(service.name, 0) + 1

    def _refuse(self, service: Service) -> None:
        if self.refused is not None and not self.refused.done():
            self.refused.set_exception(
                Fatal("starting", f"driftwatch {service.name}", "\n" + self.log_tail(service.name))
            )

    def log_tail(self, name: str) -> str:
        """The last lines that a process wrote."""
        return log_tail(self.folder / f"{name}.log")

    def pid(self, name: str) -> int:
        """The process id of a running process."""
        return self._running[name].process.pid

    def kill(self, name: str) -> None:
        """kill -9; the process is started again as after any death."""
        with suppress(ProcessLookupError):
            self._running[name].process.kill()

    async def until_ready(self, name: str, within_s: float) -> None:
        """Wait for `/readyz` of a process. Raises `Fatal` with its log when it refuses or takes longer."""
        deadline = self.clock.monotonic_s() + within_s
        port = self._running[name].service.port
        reason = "no answer"
        while self.clock.monotonic_s() < deadline:
            self.raise_refusal()
            with suppress(aiohttp.ClientError, TimeoutError):
                async with self._session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    if answer.status == 200:
                        return
                    reason = (await answer.text()).strip()
            await self.clock.sleep(0.1)
        raise Fatal("waiting for", name, f"not ready after {within_s:g} s: {reason}\n{self.log_tail(name)}")

    async def until_ended(self, name: str, within_s: float) -> None:
        """Wait until a process that ends has ended well."""
        waiting = asyncio.create_task(self._running[name].ended.wait())
        try:
            async with asyncio.timeout(within_s):
                while not waiting.done():
                    self.raise_refusal()
                    await self.clock.sleep(0.1)
        except TimeoutError:
            raise Fatal(
                "waiting for", name, f"not done after {within_s:g} s\n{self.log_tail(name)}"
            ) from None
        finally:
            waiting.cancel()

    async def until_stopped(self, stop: asyncio.Event) -> None:
        """Wait for `stop`; raises `Fatal` as soon as a process refuses to start."""
        while not stop.is_set():
            self.raise_refusal()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOOK_S)

    def raise_refusal(self) -> None:
        """Raise what a process refused to start for, if one did."""
        if self.refused is not None and self.refused.done():
            self.refused.result()

    async def metrics(self, name: str) -> str:
        """The text of `/metrics`; empty where the process does not answer."""
        port = self._running[name].service.port
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                return await answer.text()
        return ""

    async def stop(self, grace_s: float = 10.0) -> None:
        """SIGTERM to all, and SIGKILL to those that are still there after the grace time."""
        self._stopping = True
        for running in self._running.values():
            if running.process.returncode is None:
                with suppress(ProcessLookupError):
                    running.process.send_signal(signal.SIGTERM)
        for running in self._running.values():
            await end_within(running.process, grace_s)
            if running.watcher is not None:
                running.watcher.cancel()
                with suppress(asyncio.CancelledError):
                    await running.watcher

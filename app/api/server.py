"""The API as a process: listens, says whether its database answers, and drains when it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import uvicorn
from fastapi import FastAPI

from app.api.metrics import ApiMetrics
from app.api.ports import Records
from app.clock import Clock, sleep_unless
from app.errors import DriftwatchError, Fatal
from app.telemetry import get_logger

log = get_logger(__name__)

_PING_EVERY_S: Final = 2.0
_GRACE_S: Final = 10
_KEEP_ALIVE_S: Final = 5
_BACKLOG: Final = 256


class _Server(uvicorn.Server):
    """Signals are the process's, not the server's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(slots=True)
class Readiness:
    """Why it is not ready; None once the database answers."""

    reason: str | None = "the desk's database has not answered yet"

    async def watch(self, records: Records, metrics: ApiMetrics, clock: Clock, stop: asyncio.Event) -> None:
        """Ask every two seconds until `stop`; a change is logged once."""
        while not stop.is_set():
            reason = await _why_not(records)
            metrics.database_up.set(reason is None)
            if reason != self.reason:
                log.info("Readiness has changed", event_name="api_readiness", reason=reason or "ready")
            self.reason = reason
            await sleep_unless(stop, _PING_EVERY_S, clock)
        self.reason = "stopping"


async def _why_not(records: Records) -> str | None:
    try:
        await records.ping()
    except DriftwatchError as error:
        return str(error)
    return None


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; 0 picks a free port. Raises `Fatal` where it cannot be had."""
    tcp = socket.IPPROTO_TCP
    try:
        # Named as TCP, so that asyncio sets TCP_NODELAY: without it a second request waits 40 ms.
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=tcp)[
            0
        ]
        bound = socket.socket(family, kind, proto)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(_BACKLOG)
        except OSError:
            bound.close()
            raise
        return bound
    except OSError as error:
        hint = "set DRIFTWATCH_API_HOST and DRIFTWATCH_API_PORT"
        raise Fatal("listening on", f"{host}:{port}", error, hint) from error


async def serve_until(app: FastAPI, bound: socket.socket, stop: asyncio.Event) -> None:
    """Answer until `stop`; then finish what has begun, for ten seconds at most, and return."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve([bound]))
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((serving, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        server.should_exit = True
        await serving

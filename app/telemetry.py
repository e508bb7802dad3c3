"""What every process shows of itself: structured logs, and `/metrics`, `/healthz`, `/readyz` on one port."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from structlog.types import Processor

from app.errors import Fatal
from app.settings import Address

Probe = Callable[[], str | None]
"""None while all is well, else the reason why not."""


def configure_logging(level: str = "INFO", *, as_json: bool | None = None) -> None:
    """Send our logs and those of every library to stderr as one stream: JSON, or readable on a terminal.

    `as_json` None: JSON unless stderr is a terminal. Calling it again replaces the set-up.
    """
    use_json = not sys.stderr.isatty() if as_json is None else as_json
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: Processor = structlog.processors.JSONRenderer() if use_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [stream]
    root.setLevel(level)
    logging.getLogger("aiokafka").setLevel(max(logging.WARNING, root.level))


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger: `log.info("sentence", event_name=…)`."""
    return cast(structlog.stdlib.BoundLogger, structlog.get_logger(name))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The running server: `port` is the real one where 0 was asked for."""

    port: int
    runner: web.AppRunner

    async def close(self) -> None:
        await self.runner.cleanup()


async def serve(
    registry: CollectorRegistry,
    at: Address,
    *,
    is_ready: Probe = lambda: None,
    is_alive: Probe = lambda: None,
) -> Endpoint:
    """Serve `/metrics`, `/healthz` (alive) and `/readyz` (caught up) on this event loop.

    A probe that names a reason answers 503 with it; that the loop answers at all is liveness itself.
    Raises `Fatal` where it cannot listen there.
    """

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def answer(probe: Probe) -> Callable[[web.Request], object]:
        async def respond(_: web.Request) -> web.Response:
            reason = probe()
            return web.Response(
                text="ok\n" if reason is None else f"{reason}\n", status=200 if reason is None else 503
            )

        return respond

    served = web.Application()
    served.router.add_get("/metrics", metrics)
    served.router.add_get("/healthz", answer(is_alive))  # type: ignore[arg-type]
    served.router.add_get("/readyz", answer(is_ready))  # type: ignore[arg-type]
    runner = web.AppRunner(served, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, at.host, at.port).start()
    except OSError as error:
        await runner.cleanup()
        hint = f"end what listens there, or set {at.setting} or DRIFTWATCH_METRICS_HOST"
        raise Fatal("serving metrics and probes on", f"{at.host}:{at.port}", error, hint) from error
    address = runner.addresses[0]
    return Endpoint(port=int(address[1]), runner=runner)

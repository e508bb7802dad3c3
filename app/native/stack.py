"""PostgreSQL and Kafka without containers: the services that the environment names, else our own."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from app.clock import Clock
from app.native.jars import resolve_jars
from app.native.kafka import NativeKafka
from app.native.postgres import NativePostgres


class NativeStack:
    """Inside the context `kafka` (host:port) and `database` (the DSN of a superuser) answer.

    A service that DRIFTWATCH_KAFKA or DRIFTWATCH_DATABASE names is used and left as it is; the others are
    started side by side, and gone afterwards. Raises `Fatal` naming what is missing on this machine.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder, self.clock = folder, clock
        self.kafka = os.environ.get("DRIFTWATCH_KAFKA", "")
        self.database = os.environ.get("DRIFTWATCH_DATABASE", "")
        self.broker: NativeKafka | None = None
        self.postgres: NativePostgres | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        starting = [self._start_kafka()] if not self.kafka else []
        starting += [self._start_postgres()] if not self.database else []
        try:
            results = await asyncio.gather(*starting, return_exceptions=True)
            for result in results:
                if result is not None:
                    raise result
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _start_kafka(self) -> None:
        jars = await asyncio.to_thread(resolve_jars)
        broker = NativeKafka(jars, self.folder / "kafka", self.clock)
        self.broker = await self._stack.enter_async_context(broker)
        self.kafka = broker.address

    async def _start_postgres(self) -> None:
        postgres = NativePostgres(self.folder, self.clock)
        self.postgres = await self._stack.enter_async_context(postgres)
        self.database = postgres.dsn

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

"""A worker child process over `PairsWork`, whole or as one of the mutants that the crash harness must
catch."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from app.clock import SystemClock
from app.stream.app import StreamApp, StreamSettings
from app.stream.step import Step
from app.stream.table import BatchTable
from app.stream.work import Message, Outcome, Part, PartitionWork, Rows
from app.stream.worker import run_app
from app.telemetry import configure_logging
from tests.support.pairs import LEFT_TOPIC, RIGHT_TOPIC, TABLES, PairsWork

CLOCK = SystemClock()


class Order(msgspec.Struct):
    """What the parent asks for, as JSON in the first argument. `mutant`: order, noidem, nogate, or empty."""

    app_id: str
    brokers: str
    prefix: str
    out: str
    partitions: int = 4
    instance_id: str | None = None
    session_timeout_s: float = 6.0
    mutant: str = ""
    dump: str = ""
    is_slow: bool = False
    die_after: str = ""
    """`publish`, or `write0`, `write1`: SIGKILL itself there, in the first step with a message from
    `die_at_step` on."""
    die_at_step: int = 5


class DyingStep(Step):
    """Kills the process with SIGKILL between two durable writes of a step that has something to tell."""

    steps = 0

    def __init__(self, app: StreamApp) -> None:
        super().__init__(app)
        self.stages: dict[int, int] = {}
        self.telling: set[int] = set()

    async def _make_durable(self, partition: int, work: PartitionWork, outcome: Outcome) -> None:
        self.steps += 1
        self.stages[partition] = 0
        if outcome.messages:
            self.telling.add(partition)
        await super()._make_durable(partition, work, outcome)
        self.telling.discard(partition)

    async def _publish(self, partition: int, messages: Sequence[Message]) -> None:
        await super()._publish(partition, messages)
        self._maybe_die(partition, "publish")

    async def _write(self, partition: int, rows_by_table: Mapping[str, Rows]) -> None:
        await super()._write(partition, rows_by_table)
        self._maybe_die(partition, f"write{self.stages[partition]}")
        self.stages[partition] += 1

    def _maybe_die(self, partition: int, place: str) -> None:
        order = self.app.order
        if place == order.die_after and partition in self.telling and self.steps >= order.die_at_step:
            os.kill(os.getpid(), signal.SIGKILL)


class LateMessages(DyingStep):
    """Mutant: messages leave after the changelog."""

    async def _make_durable(self, partition: int, work: PartitionWork, outcome: Outcome) -> None:
        messages, outcome.messages = outcome.messages, []
        if messages:
            self.telling.add(partition)
        await super()._make_durable(partition, work, outcome)
        for message in messages:
            await self._send(partition, message)


async def send_late(table: BatchTable, batch: Any, partition: int) -> None:
    await CLOCK.sleep(1.5)
    producer = table.app.producer._producer
    await (await producer.send_batch(batch, table.changelog_topic_name, partition=partition))


class SlowTable(BatchTable):
    """A slow broker: changelog sends take 1.5 s, and nobody in the step waits for them. The commit gate
    still does, unless the order says `nogate`."""

    is_gated = True

    async def _send(self, batch: Any, partition: int, count: int) -> Any:
        batch.close()
        task = asyncio.ensure_future(send_late(self, batch, partition))
        self.late = {*getattr(self, "late", set()), task}
        if self.is_gated:
            self.app.deliveries.track(task)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class CrashApp(StreamApp):
    """The shipped app over `PairsWork`."""

    def __init__(self, order: Order) -> None:
        def make_work(partition: int, parts: Mapping[str, Part]) -> PairsWork:
            return PairsWork(partition, parts, order.out, is_idempotent=order.mutant != "noidem")

        settings = StreamSettings(
            order.app_id,
            order.brokers,
            order.partitions,
            instance_id=order.instance_id,
            session_timeout_s=order.session_timeout_s,
            heartbeat_s=1.0,
        )
        super().__init__(
            settings, [order.prefix + LEFT_TOPIC, order.prefix + RIGHT_TOPIC], TABLES, make_work, CLOCK
        )
        self.order = order
        if order.mutant == "order":
            self.step = LateMessages(self)
        elif order.die_after:
            self.step = DyingStep(self)
        if order.mutant == "nogate" or order.is_slow:
            for table in self.batch_tables.values():
                table.__class__ = SlowTable
                table.is_gated = order.mutant != "nogate"
        if order.dump:
            self.on_rebalance_complete.connect(self._dump)

    async def _dump(self, *_: Any, **__: Any) -> None:
        recovered = {p: dict(part) for p, part in self.batch_tables["state"].data.parts.items()}
        target = Path(self.order.dump)
        target.with_suffix(".tmp").write_bytes(pickle.dumps(recovered))
        target.with_suffix(".tmp").rename(target)


if __name__ == "__main__":
    configure_logging(as_json=True)
    run_app(CrashApp(msgspec.json.decode(sys.argv[1], type=Order)))

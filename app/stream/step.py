"""One step of one partition: detect in memory, then make everything durable in the one safe order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from app.stream.work import Batch, Message, Outcome, PartitionWork, Rows
from app.telemetry import get_logger

if TYPE_CHECKING:
    from app.stream.app import StreamApp

log = get_logger(__name__)


class Step:
    """Steps are taken in one at a time. The order inside one:

    1. the work takes the batch in, in memory: no await, so nothing interleaves; an error undoes it (nothing
       of it has left memory) and parks the partition
    2. the partition's step before it is durable
    3. messages are sent and acknowledged
    4. stage after stage of table rows is sent and acknowledged

    1 of the next step goes on beside 3 and 4 of this one: memory is ahead of Kafka by at most one step a
    partition, and what is in Kafka of a partition is always in order. The caller acknowledges the batch after
    2; the gate in front of every commit waits for 3 and 4 (they are a delivery). A crash anywhere repeats the
    batches from the last commit: the state knows which positions it has seen, and it is never durable before
    the messages that it caused.
    """

    def __init__(self, app: StreamApp) -> None:
        self.app = app
        self.lock = asyncio.Lock()
        self._writing: dict[int, asyncio.Future[None]] = {}
        self._going_on: dict[int, asyncio.Task[None]] = {}

    async def absorb(self, partition: int, batch: Batch) -> None:
        """A step over a batch that Faust delivered. What still arrives for a parked partition is not taken
        in and never committed."""
        async with self.lock:
            if partition not in self.app.parked:
                await self._run(partition, lambda work: work.absorb(batch))

    async def tick(self, partition: int) -> None:
        """A step that a timer begins; nothing where the partition is not ours now."""
        async with self.lock:
            if partition in self.app.owned_partitions():
                await self._run(partition, lambda work: work.tick())

    async def _go_on(self, partition: int, more: Callable[[], Outcome] | None) -> None:
        """What a step had no room for, in steps between those of the batches."""
        try:
            while more is not None:
                async with self.lock:
                    if partition not in self.app.owned_partitions() or partition in self.app.parked:
                        return
                    more = (await self._run(partition, _as_job(more))).more
        except Exception as error:  # noqa: BLE001 - the process ends by it
            self.app.failure.declare(error)
        finally:
            del self._going_on[partition]

    async def _run(self, partition: int, job: Callable[[PartitionWork], Outcome]) -> Outcome:
        self.app.failure.check()
        work = self.app.work_of(partition)
        try:
            outcome = job(work)
        except Exception as error:  # noqa: BLE001 - whatever it is, this partition must not go on
            outcome = self._park(partition, work, error)
        for rows_by_table in outcome.stages:
            for name, rows in rows_by_table.items():
                self.app.batch_tables[name].apply(partition, rows)
        self.app.freeze.turn()
        if partition in self._writing:
            await asyncio.wait({self._writing[partition]})
        self.app.failure.check()
        writing = asyncio.ensure_future(self._make_durable(partition, work, outcome))
        self._writing[partition] = self.app.deliveries.track(writing)
        if outcome.more is not None and partition not in self._going_on:
            self._going_on[partition] = asyncio.create_task(self._go_on(partition, outcome.more))
        return outcome

    async def drain(self) -> None:
        """No step is under way, and the last ones are durable or have failed. Never raises."""
        async with self.lock:
            for task in self._going_on.values():
                task.cancel()
            if self._writing:
                await asyncio.wait(set(self._writing.values()))
            self._writing.clear()

    def _park(self, partition: int, work: PartitionWork, error: Exception) -> Outcome:
        """The other partitions go on; exiting would carry the poison from worker to worker."""
        log.error(
            "partition parked: the step was undone",
            event_name="partition_parked",
            partition=partition,
            cause=str(error),
            exc_info=error,
        )
        self.app.park(partition)
        return work.park(error)

    async def _make_durable(self, partition: int, work: PartitionWork, outcome: Outcome) -> None:
        if outcome.messages:
            await self._publish(partition, outcome.messages)
            work.published(outcome)
        for rows_by_table in outcome.stages:
            self.app.freeze.turn()
            await self._write(partition, rows_by_table)

    async def _publish(self, partition: int, messages: Sequence[Message]) -> None:
        await asyncio.gather(*[await self._send(partition, message) for message in messages])

    async def _write(self, partition: int, rows_by_table: Mapping[str, Rows]) -> None:
        sent = [
            acknowledgement
            for name, rows in rows_by_table.items()
            if rows
            for acknowledgement in await self.app.batch_tables[name].send_rows(partition, rows)
        ]
        if sent:
            await asyncio.gather(*sent)

    async def _send(self, partition: int, message: Message) -> asyncio.Future[object]:
        target = partition if message.partition is None else message.partition
        return self.app.deliveries.track(
            await self.app.producer._producer.send(
                message.topic,
                message.value,
                key=message.key,
                partition=target,
                headers=list(message.headers),
            )
        )


def _as_job(more: Callable[[], Outcome]) -> Callable[[PartitionWork], Outcome]:
    return lambda _: more()

"""The source consumer: batches instead of records, read committed, gated commits, back-pressure.

Each Faust or aiokafka internal relied upon is marked "relies on" with its number, and pinned by the tests of
that number in tests/contract/test_faust_*.py.
"""
# mypy: disallow-subclassing-any=False, warn-return-any=False

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

import faust.transport.drivers.aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from app.stream.failure import FailStop
from app.stream.work import Batch

if TYPE_CHECKING:
    from app.stream.app import StreamApp

DELIVERY_TIMEOUT_S: Final = 60.0
MOST_QUEUED: Final = 8
"""Batches waiting for the agent, or for recovery, before polling stops."""
SMALL_POLL: Final = 1000
"""Records; a poll that returned fewer is followed by the linger, so that batches grow and CPU falls."""
BACK_PRESSURE_PAUSE_S: Final = 0.002
RECOVERY_PAUSE_S: Final = 0.02
"""Between two looks whether the tables are recovered, while there is nothing else to read."""
LONGEST_POLL_S: Final = 0.2
"""A seek waits for a poll to end."""


class ReadCommittedThread(driver.AIOKafkaConsumerThread):
    """Relies on (18): the thread makes the aiokafka consumer, which takes its isolation level at start.

    Stock Faust would read the records of aborted transactions (the poller writes in transactions).
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        return consumer


class BatchConsumer(driver.Consumer):
    """Yields one message per topic-partition and poll, whose value is a `Batch`."""

    app: StreamApp
    _last_poll = 0
    _polled_in = 0
    """The generation in which the last poll began."""
    _seeks = 0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._position_lock = asyncio.Lock()
        """Held by a poll, and by whoever moves the positions."""

    def _new_consumer_thread(self) -> Any:
        return ReadCommittedThread(self, loop=self.loop, beacon=self.beacon)

    async def verify_all_partitions_active(self) -> None:
        """Off: stock compares record times with a monotonic clock and cries on every idle partition.
        Readiness watches marks instead."""

    async def _make_room(self) -> None:
        """Back-pressure. The stock one polls once a second when all partitions are parked, and on its path
        for a full queue a batch of an old generation can reach recovery, which then skips records."""
        clock = self.app.clock
        while self.flow_active and not self.should_stop and self._is_full():
            await clock.sleep(BACK_PRESSURE_PAUSE_S)
        if self._last_poll < SMALL_POLL and self.app.linger_s and not self.app.in_recovery:
            await clock.sleep(self.app.linger_s)

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109
        """One poll. No seek happens while it runs, and no source is read before the tables are recovered.

        Stock does both, and loses what it read: (1) a poll waits through a rebalance, or begins when recovery
        lets the sources be polled; (2) the sources are sought to their committed offsets, which moves nothing
        back in a group that has not committed yet; (3) the poll's batches are queued; (4)
        `flow_control.resume()` empties the queues; (5) later batches are committed past the lost ones. Relies
        on (19): `actives_ready` becomes true after (4).
        """
        wanted = set(active_partitions)
        if not self.app.tables.actives_ready:
            wanted = {tp for tp in wanted if self._is_changelog_tp(tp)}
        if not wanted:
            await self.app.clock.sleep(RECOVERY_PAUSE_S)
            return {}
        async with self._position_lock:
            self._polled_in = self.app.consumer_generation_id
            return await super()._getmany(wanted, min(timeout, LONGEST_POLL_S))

    async def perform_seek(self) -> None:
        """To the committed offsets, and really back to the first record where nothing is committed. What was
        polled before is not handed on any more."""
        async with self._position_lock:
            self._seeks += 1
            await super().perform_seek()
            fresh = [
                self._new_topicpartition(tp.topic, tp.partition)
                for tp in self.assignment()
                if not self._is_changelog_tp(tp) and not self._committed_offset.get(tp)
            ]
            if fresh:
                await self._thread.seek_to_beginning(*fresh)

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Recovery places the changelogs. What was polled before is not handed on any more."""
        async with self._position_lock:
            self._seeks += 1
            await super().seek_wait(partitions)

    def _is_full(self) -> bool:
        """Relies on (11): iterating `app.topics` gives the channels, each with its queue."""
        return any(channel.queue.qsize() >= MOST_QUEUED for channel in self.app.topics)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109
        """Relies on (2, 3): `_drain_messages` iterates this as (TP, message); `_wait_next_records`,
        `flow_active`, `_buffered_partitions`. Records that are not handed on here are read again: a seek
        follows every rebalance."""
        await self._make_room()
        polled, active = await self._wait_next_records(timeout)
        generation, seeks = self._polled_in, self._seeks
        self._last_poll = sum(map(len, polled.values())) if polled else 0
        if polled is None or self.should_stop:
            return
        polled_s = self.app.clock.monotonic_s()
        for source, records in polled.items():
            is_moved = seeks != self._seeks or generation != self.app.consumer_generation_id
            if is_moved or not self.flow_active:
                return
            tp = TP(source.topic, source.partition)
            if records and (active is None or tp in active or tp in self._buffered_partitions):
                self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
                yield tp, as_message(tp, Batch(records, polled_s), generation)

    def _new_offset(self, tp: TP) -> int | None:
        """Relies on (6): acks fill `_acked` and `_acked_index`, commits ask here. One serial agent
        acknowledges in order, so the highest acknowledged offset covers all before it; a parked partition
        stays where it is."""
        acked = self._acked[tp]
        if not acked or tp.partition in self.app.parked:
            return None
        last: int = max(acked)
        acked.clear()
        self._acked_index[tp].clear()
        return last + 1

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Relies on (2): called for a jump between messages. Offsets inside a batch are no gaps."""

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Relies on (7): every commit (timer, rebalance, stop) ends here. The gate: nothing is committed
        before all that was sent is acknowledged, and nothing at all after a failure."""
        if self.app.failure.cause is None:
            await self.app.deliveries.settle(DELIVERY_TIMEOUT_S)
        if self.app.failure.cause is not None:
            await self.crash(FailStop(f"not committing: {self.app.failure.cause!r}"))
            return False
        return await super()._commit(offsets)

    async def wait_empty(self) -> None:
        """Relies on (9): called before partitions are given up. Stock waits for the agent; a step that a
        timer began must be over as well, and the last step durable."""
        await super().wait_empty()
        await self.app.step.drain()


def as_message(tp: TP, batch: Batch, generation: int) -> ConsumerMessage:
    """A batch as Faust carries it; the offset of its last record stands for all. Relies on (4): the order of
    the arguments."""
    last = batch.records[-1]
    return ConsumerMessage(
        tp.topic,
        tp.partition,
        last.offset,
        last.timestamp / 1000.0,
        0,
        [],
        None,
        batch,
        None,
        0,
        0,
        tp,
        generation_id=generation,
    )


class BatchTransport(driver.Transport):
    """Relies on (1): the transport's `Consumer` attribute is the class that is made."""

    Consumer: ClassVar[type[Any]] = BatchConsumer

"""The worker: rules and codecs become a stream app, and the app a process."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from app.clock import Clock
from app.detector.model import SECOND
from app.errors import Fatal
from app.ports import Codec
from app.rules import LoadedRule
from app.settings import Settings
from app.stream.app import StreamApp, StreamSettings
from app.stream.messages import TopicNames
from app.stream.metrics import WorkerMetrics
from app.stream.partition import DriftPartition, partition_key
from app.stream.rule_partition import EPISODES, TABLES, Compile, WorkerPlan
from app.stream.slot import Slot
from app.stream.taking_up import ReadEpisodes, take_up
from app.stream.work import Part, Rows
from app.telemetry import get_logger, serve

log = get_logger(__name__)

LONGEST_STOP_S = 20.0
"""After a failure; a process that has not stopped by then is ended."""
MARKS_LATE_S = 60.0
"""Not ready when a rule's verified-through is older than this plus its windows."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a worker reads by. `codecs` by topic name, prefix included: these topics are read. `compile`: for
    versions of rules that come later. `episodes`: what was told, for a partition that has lost its state."""

    rules: Sequence[LoadedRule]
    codecs: Mapping[str, Codec]
    compile: Compile | None = None
    episodes: ReadEpisodes | None = None


class WorkerApp(StreamApp):
    """The stream app of the rules, with its metrics and probes on a port of its own."""

    def __init__(
        self,
        plan: WorkerPlan,
        stream: StreamSettings,
        settings: Settings,
        episodes: ReadEpisodes | None = None,
    ) -> None:
        self.plan, self.worker_settings, self.episodes = plan, settings, episodes

        def make_work(partition: int, parts: Mapping[str, Part]) -> DriftPartition:
            try:
                return DriftPartition(plan, partition, parts)
            except Fatal as refused:
                self.failure.declare(refused)
                raise

        super().__init__(stream, list(plan.codecs), TABLES, make_work, plan.clock)
        plan.metrics.events = lambda: self.events_total
        plan.metrics.parked = lambda: len(self.parked)

    async def on_start(self) -> None:
        await super().on_start()
        try:
            self.endpoint = await serve(
                self.plan.metrics.registry,
                self.worker_settings.metrics_address("worker"),
                is_ready=self.why_not_ready,
                is_alive=self.why_not_alive,
            )
        except Fatal as refused:
            self.failure.declare(refused)
            raise
        log.info("metrics and probes", event_name="serving", port=self.endpoint.port)

    async def find_missing_rows(self, partition: int) -> Mapping[str, Rows]:
        """The episodes that were told, where the partition's state is gone or never was."""
        part = self.batch_tables[EPISODES].part(partition)
        if self.episodes is None or partition_key(partition) in part:
            return {}
        rules = {loaded.rule.id for loaded in self.plan.rules}
        rows = await take_up(self.episodes(partition), rules)
        if rows:
            log.warning(
                "The state is gone: takes up what was told",
                event_name="episodes_taken_up",
                partition=partition,
                episodes=len(rows),
            )
        return {EPISODES: rows} if rows else {}

    async def on_shutdown(self) -> None:
        if self.endpoint is not None:
            await self.endpoint.close()
        await super().on_shutdown()

    def why_not_ready(self) -> str | None:
        """Assigned, recovered, not rebalancing, marks arriving; None when all hold."""
        if self.rebalancing:
            return "rebalancing"
        if not self.tables.actives_ready:
            return "recovering"
        owned = self.owned_partitions()
        if not owned:
            return "no partition assigned"
        if self.parked:
            return f"parked: {sorted(self.parked)}"
        return self._why_marks_are_late()

    def _why_marks_are_late(self) -> str | None:
        now = self.clock.now_us()
        for (rule_id, partition), held in self.plan.metrics.held.items():
            if held.detector.trust.is_blind:
                return f"the clocks of both sides of {rule_id} are further apart than its skew"
            window = held.rule.window
            late_s = MARKS_LATE_S + (window.lag_us + window.lead_us + window.skew_us) / SECOND
            if now - min(held.detector.watermarks()) > late_s * SECOND:
                return f"marks of {rule_id} do not arrive in partition {partition}"
        return None

    def why_not_alive(self) -> str | None:
        """That the loop turns is answer enough, unless the process is on its way down."""
        return None if self.failure.cause is None else "stopping after a failure"


def build_worker(
    settings: Settings,
    reading: Reading,
    clock: Clock,
    instance_id: str | None = None,
) -> WorkerApp:
    """The worker's app, not started."""
    codecs = reading.codecs
    plan = WorkerPlan(
        rules=reading.rules,
        codecs=codecs,
        compile=reading.compile,
        clock=clock,
        metrics=WorkerMetrics(clock, codecs),
        partitions=settings.partitions,
        source=settings.source,
        names=TopicNames(settings.topic_prefix),
        from_empty=settings.from_empty,
    )
    stream = StreamSettings(
        app_id=settings.app_id,
        brokers=settings.kafka,
        partitions=settings.partitions,
        instance_id=instance_id,
        session_timeout_s=settings.session_timeout_s,
        heartbeat_s=settings.session_timeout_s / 10,
        linger_s=settings.poll_linger_ms / 1000,
    )
    return WorkerApp(plan, stream, settings, reading.episodes)


def changelogs_of(app_id: str) -> list[str]:
    """The changelog topics of a worker's tables, as Faust names them."""
    return [f"{app_id}-{table}-changelog" for table in TABLES]


def run_worker(settings: Settings, reading: Reading, clock: Clock) -> NoReturn:
    """Run until SIGTERM (drains, exit code 0) or a failure (exit code 1). Its topics exist.
    Raises `Fatal` before it starts."""
    slot = None if settings.worker_slot is None else Slot(settings.app_id, settings.worker_slot)
    run_app(build_worker(settings, reading, clock, None if slot is None else slot.instance_id))


def collect_garbage_rarely() -> None:
    """For a process that holds many objects and makes few cycles: with Python's own thresholds a quarter of
    the worker's CPU went into looking through what lives (19 µs an event instead of 26)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def end_soon() -> None:
    """End this process with an error, even if its event loop or its stop hangs: nothing that it could still
    do counts."""
    timer = threading.Timer(LONGEST_STOP_S, os._exit, (1,))
    timer.daemon = True
    timer.start()


def run_app(app: StreamApp) -> NoReturn:
    """Run a stream app as this process, on uvloop, with the logs as they are set up. Raises the `Fatal` that
    it refused to work for."""
    import mode.loop  # noqa: PLC0415 - it changes the process's event loop: only where one is run

    collect_garbage_rarely()
    for noisy in ("faust", "mode", "aiokafka"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("app.stream.consumer").setLevel(logging.WARNING)
    logging.getLogger("app.stream.table").setLevel(logging.WARNING)
    mode.loop.use("uvloop")
    app.failure.then = end_soon
    worker = app.Worker(loglevel="INFO", redirect_stdouts=False, override_logging=False)
    worker.spinner = None
    try:
        worker.execute_from_commandline()
    finally:
        if isinstance(app.failure.cause, Fatal):
            raise app.failure.cause
    raise SystemExit(0)

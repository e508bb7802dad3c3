"""A world for one worker: topics of its own on the real broker, records in, what it told out."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from app.clock import SystemClock
from app.native.child import free_port
from app.replay import Replay
from app.rules import LoadedRule, load_rules
from app.settings import RULES_FOLDER, Settings
from app.stream.worker import changelogs_of
from app.wiring import build_codecs
from connectors.kafka.topics import ensure_topics
from schemas.topics import CHAIN_EVENTS, DB_CHANGES, MISMATCHES, STATUS
from tests.support.commands import Running
from tests.support.credit_stream import ENVIRONMENT, Told, log_lines
from tests.support.kafka import count_behind, open_sender, read_all
from tests.support.waiting import eventually

CLOCK = SystemClock()
RULE_FILE = RULES_FOLDER / "credit.yaml"
STARTING = ("", "rebalancing", "recovering", "no partition assigned")
"""What `/readyz` says before a worker reads."""


def credit_rules() -> Sequence[LoadedRule]:
    """The shipped credit rule, over the contract of `credit_stream`, told at once: nobody here reads anything
    live."""
    return load_rules([RULE_FILE], ENVIRONMENT, ["confirm=off"])


def replay(told: Iterable[Told]) -> dict[str, Any]:
    """What the rule says of these records through the core alone: value by event id."""
    events: list[bytes] = []
    rules = credit_rules()
    Replay([one.rule for one in rules], build_codecs(rules), events.append, from_empty=True).run(
        log_lines(told)
    )
    return {event["ce_id"]: event["value"] for event in map(orjson.loads, events)}


class WorkerWorld:
    """Topics under a prefix, and workers upon them."""

    def __init__(self, brokers: str, folder: Path, partitions: int = 4) -> None:
        self.brokers, self.folder, self.partitions = brokers, folder, partitions
        self.prefix = f"w{os.getpid()}-{CLOCK.now_us()}."
        self.app_id = self.prefix + "worker"
        self.sources = [self.prefix + DB_CHANGES, self.prefix + CHAIN_EVENTS]
        self._count = 0

    @property
    def settings(self) -> Settings:
        return Settings(
            kafka=self.brokers, topic_prefix=self.prefix, app_id=self.app_id, partitions=self.partitions
        )

    async def make_topics(self) -> None:
        await ensure_topics(self.settings, changelogs_of(self.app_id))

    async def tell(self, told: Iterable[Told]) -> None:
        """Append the records, in order."""
        async with open_sender(self.brokers, self.partitions) as sender:
            await sender.place((self.prefix + topic, *rest) for topic, *rest in told)

    def environment(self, port: int, **changes: str) -> dict[str, str]:
        said = {
            "DRIFTWATCH_KAFKA": self.brokers,
            "DRIFTWATCH_TOPIC_PREFIX": self.prefix,
            "DRIFTWATCH_APP_ID": self.app_id,
            "DRIFTWATCH_PARTITIONS": str(self.partitions),
            "DRIFTWATCH_RULES": str(self._rule_file()),
            "DRIFTWATCH_FROM_EMPTY": "true",
            "DRIFTWATCH_SESSION_TIMEOUT_S": "8",
            "DRIFTWATCH_WORKER_PORT": str(port),
        }
        return {**os.environ, **ENVIRONMENT, **said, **changes}

    def _rule_file(self) -> Path:
        """The shipped rule, told at once: nobody here reads anything live."""
        rule = self.folder / "credit.yaml"
        rule.write_text(RULE_FILE.read_text(encoding="utf-8") + "\nconfirm: off\n", encoding="utf-8")
        return rule

    @asynccontextmanager
    async def worker(
        self, command: Sequence[str] = ("-m", "app", "worker"), **changes: str
    ) -> AsyncIterator[Running]:
        """A worker process, recovered and reading; gone afterwards. `changes`: of its environment."""
        self._count += 1
        log, port = self.folder / f"worker{self._count}.log", free_port()
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *command, env=self.environment(port, **changes), stdout=output, stderr=output
            )
        running = Running(process, log, port)
        try:
            await eventually(lambda: _reads(running), 60)
            yield running
        finally:
            if process.returncode is None:
                with suppress(TimeoutError):
                    await running.stop(within=20.0)
            if process.returncode is None:
                await running.stop(signal.SIGKILL)

    async def until_caught_up(self, within: float = 60.0) -> None:
        """Every record of the source topics is committed."""

        async def is_caught_up() -> bool:
            return await count_behind(self.brokers, self.app_id, self.sources, self.partitions) == 0

        await eventually(is_caught_up, within, every=0.2)

    async def read(self, topic: str) -> list[Any]:
        return await read_all(self.brokers, [self.prefix + topic], self.partitions)

    async def mismatches(self) -> dict[str, Any]:
        """Value by event id; AssertionError where an id was told twice with another value."""
        found: dict[str, Any] = {}
        for record in await self.read(MISMATCHES):
            value = orjson.loads(record.value)
            assert found.setdefault(dict(record.headers)["ce_id"].decode(), value) == value
        return found

    async def until_told_more(self, within: float = 60.0) -> None:
        """Some mismatch has been told since this was called."""
        before = len(await self.mismatches())

        async def has_more() -> bool:
            return len(await self.mismatches()) > before

        await eventually(has_more, within)

    async def statuses(self) -> Mapping[str, Any]:
        """The newest record of `drift.status` by its key."""
        return {record.key.decode(): orjson.loads(record.value) for record in await self.read(STATUS)}

    async def incidents(self) -> list[dict[str, Any]]:
        """As they stand now."""
        return [value for key, value in (await self.statuses()).items() if key.startswith("incident|")]


async def _reads(running: Running) -> bool:
    assert running.process.returncode is None, running.log.read_text()
    return await running.readiness() not in STARTING


def split(told: Iterable[Told], parts: int) -> list[list[Told]]:
    """The same records in so many stretches of about the same length."""
    every = list(told)
    size = -(-len(every) // parts)
    return [every[at : at + size] for at in range(0, len(every), size)]


def measured(text: str) -> dict[str, float]:
    """Samples of a `/metrics` page by name and labels; several with the same name are summed under it too."""
    samples: defaultdict[str, float] = defaultdict(float)
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            samples[name] = float(value)
            if "{" in name:
                samples[name.partition("{")[0]] += float(value)
    return samples

"""What tests of webhooks share: transitions as records, and a world with topics, tables and a notifier."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from app.clock import SystemClock
from app.detector.model import SECOND
from app.detector.values import derive_id, format_time
from app.native.child import free_port
from app.settings import RULES_FOLDER, Settings
from connectors.kafka.topics import ensure_topics
from schemas.topics import MISMATCHES
from tests.support.commands import Finished, Running, run_command, running_command

RULE = "credit-line"
BASE_US = 1_785_578_437_000_000
SECRET = "a secret of the tests, long enough"
CONTRACT = "CAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6N4O"


def mismatch(
    key: str, sequence: int, transition: str, *, severity: str = "critical", at_s: int | None = None
) -> dict[str, Any]:
    """The event of a transition in its JSON form; ids and times follow from key and sequence."""
    episode = derive_id(RULE, key, BASE_US)
    at = format_time(BASE_US + (sequence if at_s is None else at_s) * SECOND)
    is_over = transition == "resolved"
    difference = {
        "field": "creditLimit",
        "left": "1000",
        "right": "1500",
        "difference": "-500",
        "severity": severity,
        "since": at,
    }
    return {
        "specversion": "1.0",
        "id": derive_id(episode, sequence),
        "source": f"/driftwatch/{RULE}",
        "type": f"drift.mismatch.{transition}",
        "subject": key,
        "time": at,
        "datacontenttype": "application/json",
        "dataschema": "urn:driftwatch:schema:mismatch.v1",
        "data": {
            "episode": episode,
            "sequence": sequence,
            "transition": transition,
            "rule": RULE,
            "rule_version": 1,
            "key": key,
            "severity": severity,
            "since": format_time(BASE_US),
            "until": at if is_over else None,
            "differences": [] if is_over else [difference],
            "cause": "left_moved" if is_over else None,
            "flaps": 0,
            "linked": None,
            "trace": {"left": None, "right": None},
        },
    }


def headers_of(event: Mapping[str, Any]) -> list[tuple[str, bytes]]:
    """The same event's headers in Kafka's binary mode."""
    said = {
        "ce_specversion": "1.0",
        "ce_id": event["id"],
        "ce_source": event["source"],
        "ce_type": event["type"],
        "ce_subject": event["subject"],
        "ce_time": event["time"],
        "ce_dataschema": event["dataschema"],
        "content-type": "application/json",
        "drift_confirmed": "live",
    }
    return [(name, str(text).encode()) for name, text in said.items()]


class NotifierWorld:
    """Topics under a prefix of their own, tables in `database`, and a notifier upon them."""

    def __init__(self, brokers: str, database: str, folder: Path, targets: str) -> None:
        self.prefix = f"n{os.getpid()}-{SystemClock().now_us()}."
        self.settings = Settings(kafka=brokers, topic_prefix=self.prefix, partitions=4)
        self.folder, self.port = folder, free_port()
        file = folder / "webhooks.yaml"
        file.write_text(targets, encoding="utf-8")
        self.environment = {
            "DRIFTWATCH_KAFKA": brokers,
            "DRIFTWATCH_DATABASE": database,
            "DRIFTWATCH_TOPIC_PREFIX": self.prefix,
            "DRIFTWATCH_PARTITIONS": "4",
            "DRIFTWATCH_RULES": str(RULES_FOLDER / "credit.yaml"),
            "DRIFTWATCH_SESSION_TIMEOUT_S": "6",
            "DRIFTWATCH_NOTIFIER_PORT": str(self.port),
            "DRIFTWATCH_WEBHOOKS": str(file),
            "CREDIT_CONTRACT_ID": CONTRACT,
            "TEST_SECRET": SECRET,
        }

    async def make_topics(self) -> None:
        await ensure_topics(self.settings)

    async def tell(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Publish events as the worker does, in order, all acknowledged."""
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.kafka, enable_idempotence=True)
        await producer.start()
        try:
            topic = self.prefix + MISMATCHES
            for event in events:
                await producer.send(
                    topic,
                    orjson.dumps(event["data"]),
                    key=f"{RULE}|{event['subject']}".encode(),
                    headers=headers_of(event),
                )
            await producer.flush()
        finally:
            await producer.stop()

    @asynccontextmanager
    async def notifier(self, *arguments: str) -> AsyncIterator[Running]:
        """The process; gone afterwards. Its log is added to that of those before it."""
        log = self.folder / "notifier.log"
        async with running_command(
            "notifier", *arguments, environment=self.environment, log=log, port=self.port
        ) as running:
            yield running

    async def run(self, *arguments: str) -> Finished:
        """A command to its end, over this world."""
        return await run_command(*arguments, environment=self.environment)

    @property
    def log(self) -> str:
        return (self.folder / "notifier.log").read_text(encoding="utf-8")


def stories(keys: Sequence[str]) -> list[dict[str, Any]]:
    """Of each key: opened, updated, resolved; the keys take turns."""
    kinds = ("opened", "updated", "resolved")
    return [mismatch(key, number, kind) for number, kind in enumerate(kinds) for key in keys]

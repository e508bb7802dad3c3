"""Before the worker starts: are the topics there and alike, and are its changelogs?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from app.errors import Fatal, Transient

CHANGELOG_CONFIG: Final[Mapping[str, str]] = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.1",
    "segment.bytes": str(32 * 1024 * 1024),
    "max.compaction.lag.ms": "3600000",
}
"""Compact only: a changelog from which anything is deleted by age could not be recovered."""


def prepare_topics(
    brokers: str, required: Iterable[str], changelogs: Iterable[str], partitions: int, replication: int
) -> None:
    """Check that each required topic has `partitions` partitions, and create the changelogs that are missing.

    Raises `Fatal` naming every topic that is missing or different at once, `Transient` without a broker.
    """
    try:
        asyncio.run(_prepare(brokers, set(required), set(changelogs), partitions, replication))
    except KafkaError as error:
        raise Transient("asking for topics at", brokers, error, "is the broker up?") from error


async def _prepare(
    brokers: str, required: set[str], changelogs: set[str], partitions: int, replication: int
) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        present = set(await admin.list_topics())
        found = await _count_partitions(admin, (required | changelogs) & present)
        problems = [f"{name} is missing" for name in sorted(required - present)]
        problems += [
            f"{name} has {count} partitions" for name, count in sorted(found.items()) if count != partitions
        ]
        if problems:
            hint = f"all of them need {partitions} partitions: create them so, or set DRIFTWATCH_PARTITIONS"
            raise Fatal("checking", "topics", "; ".join(problems), hint)
        await _create(admin, changelogs - present, partitions, replication)
    finally:
        await admin.close()


async def _count_partitions(admin: Any, names: set[str]) -> dict[str, int]:
    if not names:
        return {}
    described = await admin.describe_topics(sorted(names))
    return {topic["topic"]: len(topic["partitions"]) for topic in described}


async def _create(admin: Any, names: set[str], partitions: int, replication: int) -> None:
    if not names:
        return
    wanted = [
        NewTopic(name, partitions, replication, topic_configs=dict(CHANGELOG_CONFIG))
        for name in sorted(names)
    ]
    answer = await admin.create_topics(wanted)
    for name, code, *_ in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise Fatal("creating", name, error.__name__, "does the broker allow it?")

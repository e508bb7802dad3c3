"""The topics as the wire format wants them: created where they are missing, compared where they exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from app.clock import Clock, SystemClock
from app.errors import Fatal, Transient
from app.settings import Settings
from schemas import topics

_VISIBLE_WITHIN_S: Final = 10.0
_DAY_MS: Final = 86_400_000
_SEGMENT_BYTES: Final = str(32 * 1024 * 1024)
_COMPACT: Final[Mapping[str, str]] = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.1",
    "segment.bytes": _SEGMENT_BYTES,
    "max.compaction.lag.ms": "3600000",
}
"""Compact only: a changelog from which anything is deleted by age could not be recovered."""


def _kept(days: int) -> Mapping[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * _DAY_MS), "segment.bytes": _SEGMENT_BYTES}


CONFIGS: Final[Mapping[str, Mapping[str, str]]] = {
    topics.DB_CHANGES: _kept(7),
    topics.CHAIN_EVENTS: _kept(7),
    topics.CHAIN_CURSOR: _COMPACT,
    topics.OBSERVATIONS: _kept(7),
    topics.REQUESTS: _kept(1),
    topics.MISMATCHES: _kept(30),
    topics.EPISODES: _COMPACT,
    topics.STATUS: _COMPACT,
    topics.DEAD_LETTERS: _kept(30),
}
"""How each topic is cleaned up."""


async def ensure_topics(
    settings: Settings, changelogs: Iterable[str] = (), clock: Clock | None = None
) -> None:
    """Create what is missing, `changelogs` (full names) included. Nothing that exists is altered; all of them
    are there afterwards.

    Raises `Fatal` naming every topic whose partition count is another than configured, `Transient` without a
    broker.
    """
    wanted = _wanted(settings, changelogs)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    try:
        await admin.start()
        found = await count_partitions(admin, wanted)
        _compare(wanted, found)
        await _create(admin, [topic for name, topic in wanted.items() if name not in found])
        await _until_there(admin, wanted, clock or SystemClock())
    except KafkaError as error:
        raise Transient("asking for topics at", settings.kafka, error, "is the broker up?") from error
    finally:
        await admin.close()


async def find_topic_problems(settings: Settings) -> list[str]:
    """One line for each topic that is missing or has another partition count; raises `Transient`."""
    wanted = _wanted(settings, ())
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    try:
        await admin.start()
        found = await count_partitions(admin, wanted)
    except KafkaError as error:
        raise Transient("asking for topics at", settings.kafka, error, "is the broker up?") from error
    finally:
        await admin.close()
    return [f"{name} is missing" for name in wanted if name not in found] + _differing(wanted, found)


def _wanted(settings: Settings, changelogs: Iterable[str]) -> dict[str, NewTopic]:
    counts = {name: settings.partitions for name in topics.CO_PARTITIONED} | {topics.CHAIN_CURSOR: 1}
    listed = [(settings.topic(name), count, CONFIGS[name]) for name, count in counts.items()]
    listed += [(name, settings.partitions, _COMPACT) for name in changelogs]
    return {
        name: NewTopic(name, count, settings.replication_factor, topic_configs=dict(config))
        for name, count, config in listed
    }


async def count_partitions(admin: Any, names: Iterable[str]) -> dict[str, int]:
    """How many partitions each of the topics has that exist."""
    present = sorted(set(names) & set(await admin.list_topics()))
    if not present:
        return {}
    described = await admin.describe_topics(present)
    return {topic["topic"]: len(topic["partitions"]) for topic in described}


def _differing(wanted: Mapping[str, NewTopic], found: Mapping[str, int]) -> list[str]:
    return [
        f"{name} has {count} partitions instead of {wanted[name].num_partitions}"
        for name, count in sorted(found.items())
        if count != wanted[name].num_partitions
    ]


def _compare(wanted: Mapping[str, NewTopic], found: Mapping[str, int]) -> None:
    problems = _differing(wanted, found)
    if problems:
        hint = "set DRIFTWATCH_PARTITIONS to what the topics have; the count can never be changed later"
        raise Fatal("checking", "topics", "; ".join(problems), hint)


async def _until_there(admin: Any, wanted: Mapping[str, NewTopic], clock: Clock) -> None:
    """A broker lists a new topic a moment after it has made it; one that another process made is compared."""
    deadline = clock.monotonic_s() + _VISIBLE_WITHIN_S
    while len(found := await count_partitions(admin, wanted)) < len(wanted):
        if clock.monotonic_s() > deadline:
            missing = ", ".join(sorted(set(wanted) - set(found)))
            raise Transient("creating", missing, f"not there after {_VISIBLE_WITHIN_S:g} s")
        await clock.sleep(0.05)
    _compare(wanted, found)


async def _create(admin: Any, missing: list[NewTopic]) -> None:
    if not missing:
        return
    answer = await admin.create_topics(missing)
    for name, code, *_ in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise Fatal("creating", name, error.__name__, "does the broker allow it?")

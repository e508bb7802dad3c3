"""Topics on a real broker: made as the wire format wants them, refused where they differ."""

from __future__ import annotations

import pytest

from app.errors import Fatal, Transient
from app.settings import Settings
from connectors.kafka.topics import ensure_topics, find_topic_problems
from tests.support.services import Services


async def test_missing_topics_are_made_once_and_found_right_afterwards(services: Services) -> None:
    settings = Settings(kafka=services.kafka, partitions=3, topic_prefix="made.")
    assert "made.db.changes is missing" in await find_topic_problems(settings)
    await ensure_topics(settings, ["made.worker-left-changelog"])
    await ensure_topics(settings, ["made.worker-left-changelog"])
    assert await find_topic_problems(settings) == []


async def test_a_topic_with_another_partition_count_is_refused_by_name(services: Services) -> None:
    await ensure_topics(Settings(kafka=services.kafka, partitions=2, topic_prefix="differ."))
    with pytest.raises(Fatal, match=r"differ\.chain\.events has 2 partitions instead of 5"):
        await ensure_topics(Settings(kafka=services.kafka, partitions=5, topic_prefix="differ."))


async def test_an_unreachable_broker_is_named_with_what_to_do() -> None:
    with pytest.raises(Transient, match=r"127\.0\.0\.1:1.*is the broker"):
        await ensure_topics(Settings(kafka="127.0.0.1:1"))

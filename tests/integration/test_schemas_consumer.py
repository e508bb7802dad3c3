"""The consumer of schemas/README.md, as it stands there, beside a real broker."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from aiokafka import AIOKafkaProducer

import schemas
from app.detector.model import Transition
from app.settings import Settings
from app.stream.messages import TopicNames, tell_transition
from connectors.kafka.topics import ensure_topics
from schemas import topics
from tests.support.services import Services

EXAMPLES = schemas.FOLDER / "examples"


def transitions() -> list[Transition]:
    printed = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((EXAMPLES / "replay-event.v1").glob("*"))
    ]
    return [
        Transition(one["ce_id"], one["ce_type"], one["ce_time"], one["headers"], one["value"])
        for one in printed
    ]


async def test_the_consumer_prints_every_transition_once(services: Services, tmp_path: Path) -> None:
    told = transitions()
    await ensure_topics(Settings(kafka=services.kafka))
    async with AIOKafkaProducer(bootstrap_servers=services.kafka) as producer:
        for transition in [*told, told[0]]:
            message = tell_transition(TopicNames(), transition)[0]
            headers = list(message.headers)
            await producer.send_and_wait(topics.MISMATCHES, message.value, key=message.key, headers=headers)
    text = (schemas.FOLDER / "README.md").read_text(encoding="utf-8")
    script = tmp_path / "consumer.py"
    script.write_text(text.split("```python\n")[1].split("```")[0], encoding="utf-8")

    child = await asyncio.create_subprocess_exec(
        sys.executable,
        script,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"DRIFTWATCH_KAFKA": services.kafka},
    )
    assert child.stdout is not None
    mine = {transition.ce_time for transition in told}
    lines: list[list[str]] = []
    async with asyncio.timeout(30):
        while len(lines) < len(told):
            line = (await child.stdout.readline()).decode().split("  ")
            lines += [line] if line[0] in mine else []
    child.terminate()
    rest = (await child.stdout.read()).decode().splitlines()
    await child.wait()

    assert [line[4].strip() for line in lines] == [
        "opened", "updated", "resolved", "reopened", "resolved",
    ]  # fmt: skip
    assert not [line for line in rest if line.partition("  ")[0] in mine]

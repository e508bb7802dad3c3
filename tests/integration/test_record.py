"""`driftwatch record` against a real broker: what it writes is what was there, and replay reads it."""

from __future__ import annotations

import base64
import uuid
from pathlib import Path

import msgspec
import orjson
import pytest
from aiokafka import AIOKafkaProducer

import schemas
from app.cli.replay import opened
from app.replay import Line
from connectors.kafka.recording import line_of
from tests.support.commands import run_command, running_command
from tests.support.kafka import create_topics
from tests.support.services import Services
from tests.support.waiting import eventually

RECORDS: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]] = [
    (b"GA", b'{"kind":"mark", "ledger": 12345678901234567890}', []),
    ("ключ".encode(), b'{"text":"\xd0\xb0"}', [("h", b"1"), ("empty", b"")]),
    (b"gone", None, []),
    (b"\xff\xfe", b"\x00\x01", [("bytes", b"\xff")]),
    (b"k", b"null", []),
    (b"k", b'{\n "pretty": 1\n}', []),
    (b"k", b"", []),
    (b"k", b"NaN", []),
]


class Place:
    """A topic with records of every kind, under a prefix."""

    def __init__(self, services: Services) -> None:
        self.kafka, self.prefix = services.kafka, f"rec-{uuid.uuid4().hex[:8]}-"
        self.environment = {"DRIFTWATCH_KAFKA": self.kafka, "DRIFTWATCH_TOPIC_PREFIX": self.prefix}

    async def fill(self) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka)
        await producer.start()
        try:
            for key, value, headers in RECORDS:
                await producer.send_and_wait(
                    f"{self.prefix}chain.events", value, key=key, headers=headers, partition=0
                )
        finally:
            await producer.stop()


@pytest.fixture(name="place")
async def _place(services: Services) -> Place:
    place = Place(services)
    await create_topics(place.kafka, [f"{place.prefix}chain.events", f"{place.prefix}db.changes"], 2)
    return place


def check(lines: list[bytes]) -> None:
    read = [orjson.loads(line) for line in lines]
    assert all(schemas.validate("log-line.v1", line, strict=True) == [] for line in read)
    assert {line["topic"] for line in read} == {"chain.events"}
    assert [line["offset"] for line in read] == list(range(len(RECORDS)))
    for (key, value, headers), line in zip(RECORDS, lines, strict=True):
        found = _line(line)
        assert (found.key, found.value) == (key, value)
        assert [name for name, _ in found.headers] == [name for name, _ in headers]


def _line(raw: bytes) -> Line:
    return msgspec.json.decode(raw, type=Line)


async def test_what_the_topics_hold_is_written_byte_for_byte(place: Place, tmp_path: Path) -> None:
    await place.fill()
    out = tmp_path / "log.jsonl.zst"
    done = await run_command(
        "record", "chain.events", "db.changes", "--to-end", "--out", str(out), environment=place.environment
    )
    assert (done.code, orjson.loads(done.err)["chain.events"]) == (0, len(RECORDS)), done.err
    with opened(str(out)) as lines:
        check(list(lines))
    again = await run_command(
        "record", "chain.events", "--to-end", "--out", str(out), environment=place.environment
    )
    assert (again.code, "not there yet" in again.err) == (2, True)


async def test_what_comes_is_written_as_it_comes_until_it_is_told_to_stop(
    place: Place, tmp_path: Path
) -> None:
    await place.fill()
    out = tmp_path / "log.jsonl"
    arguments = ("record", "chain.events", "--from-beginning", "--out", str(out))
    async with running_command(*arguments, environment=place.environment, log=tmp_path / "said") as running:
        await eventually(lambda: out.exists() and len(out.read_bytes().splitlines()) == len(RECORDS), 20)
        await place.fill()
        await eventually(lambda: len(out.read_bytes().splitlines()) == 2 * len(RECORDS), 20)
        assert await running.stop() == 0
    assert len({orjson.loads(line)["offset"] for line in out.read_bytes().splitlines()}) == 2 * len(RECORDS)


async def test_a_time_ends_it(place: Place) -> None:
    await place.fill()
    done = await run_command(
        "record", "chain.events", "--from-beginning", "--for", "2s", environment=place.environment
    )
    assert done.code == 0, done.err
    check(done.out.encode().splitlines())


async def test_a_topic_that_is_not_there_is_named(place: Place) -> None:
    done = await run_command("record", "chain.evnets", environment=place.environment)
    assert done.code == 2
    assert f"{place.prefix}chain.evnets: no such topic" in done.err


def test_bytes_that_are_no_text_are_kept_as_base64() -> None:
    class Arrived:
        topic, partition, offset, timestamp, key, value = "t", 0, 3, 4, b"\xff", b"\xfe"
        headers: tuple[tuple[str, bytes], ...] = ()

    line = orjson.loads(line_of(Arrived(), "t"))
    assert base64.b64decode(line["key_b64"]) == b"\xff"
    assert base64.b64decode(line["value_b64"]) == b"\xfe"

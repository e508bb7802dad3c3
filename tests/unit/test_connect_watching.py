"""What the watch over a captured database tells of its clock and its columns, and when."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import orjson
import pytest

from app.errors import Transient
from connectors.debezium.capture import CapturedTable
from connectors.debezium.database import Place
from connectors.debezium.marks import read_place
from connectors.debezium.metrics import ConnectMetrics
from connectors.debezium.watching import Voice, Watch
from tests.support.sweeping import HandClock

LINES = CapturedTable("public.lines", "wallet", ("wallet", "credit"), ("one", "two"))


class Database:
    """Its clock is `offset_us` ahead of ours, and an answer takes `slow_us`; `missing` columns are gone."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.offset_us = self.slow_us = 0
        self.missing: list[str] = []
        self.looks = 0

    async def place(self) -> Place:
        self.looks += 1
        await self.clock.sleep(self.slow_us / 2e6)
        at_us = self.clock.now_us() + self.offset_us
        await self.clock.sleep(self.slow_us / 2e6)
        return Place("7/1", 1000, at_us)

    async def find_missing_columns(self, table: CapturedTable) -> Sequence[str]:
        return list(self.missing)


class Listener:
    """Keeps what was told; refuses while `is_deaf`."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.is_deaf = False

    def voice(self) -> Voice:
        return Voice(self._clock, self._broken, self._mended)

    async def _clock(self, offset_us: int) -> None:
        self._keep(offset_us)

    async def _broken(self, table: CapturedTable, at_us: int, detail: str) -> None:
        self._keep(("broken", table.name, detail))

    async def _mended(self, table: CapturedTable) -> None:
        self._keep(("mended", table.name))

    def _keep(self, told: object) -> None:
        if self.is_deaf:
            raise Transient("telling", "the workers", "no broker")
        self.told.append(told)


class Scene:
    def __init__(self) -> None:
        self.clock, self.listener, self.metrics = HandClock(), Listener(), ConnectMetrics()
        self.database = Database(self.clock)
        self.watch = Watch((LINES,), self.listener.voice(), self.clock, self.metrics)

    async def look(self, after_s: float = 1.0) -> list[object]:
        """What one look tells."""
        await self.clock.sleep(after_s)
        self.listener.told.clear()
        await self.watch.look(self.database)  # type: ignore[arg-type]
        return list(self.listener.told)


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_the_clock_is_told_at_first_when_it_moved_and_now_and_then(scene: Scene) -> None:
    assert await scene.look() == [0]
    assert await scene.look() == []
    scene.database.offset_us = -60_000_000
    assert await scene.look() == [-60_000_000]
    scene.database.offset_us = -60_050_000
    assert await scene.look() == []
    assert await scene.look(30.0) == [-60_050_000]


async def test_it_looks_once_a_second(scene: Scene) -> None:
    await scene.look()
    await scene.look(0.2)
    assert scene.database.looks == 1


async def test_the_time_that_an_answer_takes_is_no_offset(scene: Scene) -> None:
    scene.database.slow_us = 800_000
    assert await scene.look() == [0]
    scene.database.offset_us = 1_000_000
    assert await scene.look() == [600_000], "at least so much"


async def test_an_answer_that_takes_too_long_says_nothing(scene: Scene) -> None:
    scene.database.slow_us = 1_500_000
    assert await scene.look() == []


async def test_a_column_that_is_gone_is_told_once_and_when_it_is_back(scene: Scene) -> None:
    await scene.look()
    scene.database.missing = ["credit"]
    assert await scene.look() == [("broken", "public.lines", "public.lines has no column credit")]
    assert await scene.look() == []
    assert scene.metrics.columns_missing.labels("public.lines")._value.get() == 1
    scene.database.missing = []
    assert await scene.look() == [("mended", "public.lines")]
    assert await scene.look() == []


async def test_what_could_not_be_told_is_told_at_the_next_look(scene: Scene) -> None:
    scene.listener.is_deaf = True
    scene.database.missing = ["credit"]
    assert await scene.look() == []
    scene.listener.is_deaf = False
    assert await scene.look() == [0, ("broken", "public.lines", "public.lines has no column credit")]


CONTENT = {"at": "2026-08-01T10:00:05.5Z", "lsn": "1/A0", "epoch": "7/1/0/9"}


def record(content: object) -> bytes:

    told = base64.b64encode(orjson.dumps(content)).decode()
    return orjson.dumps({"op": "m", "message": {"prefix": "wm:0", "content": told}})


def test_a_mark_says_where_the_log_stood() -> None:
    assert read_place(record(CONTENT)) == Place("7/1", (1 << 32) + 160, 1_785_578_405_500_000)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b'{"op":"m","message":null}',
        record([]),
        record({}),
        record(CONTENT | {"epoch": None}),
        record(CONTENT | {"epoch": "7"}),
        record(CONTENT | {"lsn": "here"}),
        record(CONTENT | {"at": "yesterday"}),
    ],
)
def test_a_mark_that_does_not_say_is_none(value: bytes) -> None:
    assert read_place(value) is None

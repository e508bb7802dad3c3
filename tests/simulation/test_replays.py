"""A recorded log through the codecs: true verdicts, in the same bytes, whatever arrives first."""

from __future__ import annotations

import random
from itertools import groupby

import orjson
import pytest

from app.replay import Replay
from app.rules import load_rules
from app.settings import RULES_FOLDER
from app.wiring import build_codecs
from tests.simulation.check import micros
from tests.simulation.world import Shape, World

RULES = load_rules([RULES_FOLDER / "credit.yaml"], {}, lenient_environment=True)


def replay(records: list[dict[str, object]]) -> dict[str, bytes]:
    """The payload of every event by its id."""
    written: list[bytes] = []
    runner = Replay([loaded.rule for loaded in RULES], build_codecs(RULES), written.append, from_empty=True)
    summary = runner.run(orjson.dumps(record) for record in records)
    assert summary.refused == {}
    events = [orjson.loads(line) for line in written]
    return {event["ce_id"]: orjson.dumps(event["value"]) for event in events}


def shuffled(r: random.Random, records: list[dict[str, object]]) -> list[dict[str, object]]:
    """Each topic-partition in its own order, drawn from at random."""

    def place(record: dict[str, object]) -> tuple[str, str]:
        return str(record["topic"]), str(record["partition"])

    queues = [list(group) for _, group in groupby(sorted(records, key=place), key=place)]
    found: list[dict[str, object]] = []
    while queues := [queue for queue in queues if queue]:
        queue, count = r.choice(queues), r.choice((1, 10, 300))
        found += queue[:count]
        del queue[:count]
    return found


@pytest.mark.parametrize("seed", range(10))
def test_a_replay_tells_true_violations_in_any_order_of_arrival(seed: int) -> None:
    r = random.Random(seed)
    shape = Shape(
        keys=12,
        seconds=400,
        stall=r.random() < 0.5,
        duplicate_rate=r.choice((0, 0.2)),
        clock_offset_us=r.choice((0, 2_000_000, -2_000_000)),
        several_rows=r.random() < 0.5,
    )
    world = World(seed, shape)
    records = world.records()

    told = replay(records)

    assert told
    assert replay(shuffled(r, records)) == told, seed
    for body in told.values():
        value = orjson.loads(body)
        if value["transition"] in ("opened", "reopened"):
            since = micros(value["since"])
            true = world.truth(value["key"])
            assert any(start <= since < until for start, until in true), (seed, value)

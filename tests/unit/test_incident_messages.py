"""One loss is one incident and one sweep, however many partitions tell of it."""

from __future__ import annotations

import orjson
import pytest

from app.detector.model import SECOND, Incident, Side
from app.stream.messages import TopicNames, ask_sweep, tell_incident

MINUTE = 1_790_000_040 * SECOND
NAMES = TopicNames()


def lost(cause: str, from_s: float, until_s: float | None) -> Incident:
    until = None if until_s is None else MINUTE + round(until_s * SECOND)
    return Incident("r", None, cause, Side.LEFT, MINUTE + round(from_s * SECOND), until, "lost")


def ids(cause: str, *spans: tuple[float, float | None]) -> set[tuple[object, object]]:
    """(incident, sweep) of each partition."""
    found = set()
    for span in spans:
        told = tell_incident(NAMES, lost(cause, *span), "db")
        asked = ask_sweep(NAMES, lost(cause, *span))
        run = None if asked is None else orjson.loads(asked.value or b"")["run"]
        found.add((orjson.loads(told.value or b"")["id"], run))
    return found


@pytest.mark.parametrize("cause", ["slot", "epoch"])
def test_the_end_of_an_epoch_is_one_incident_though_the_partitions_had_come_to_different_times(
    cause: str,
) -> None:
    assert len(ids(cause, (0.5, 30.0), (1.5, 30.0), (-70.0, 31.0))) == 1
    assert len(ids(cause, (0.5, 30.0), (1.5, 90.0))) == 2


@pytest.mark.parametrize("cause", ["clock", "schema"])
def test_a_doubt_that_begins_in_one_minute_is_one_incident(cause: str) -> None:
    assert len(ids(cause, (0.5, None), (1.5, None))) == 1
    assert len(ids(cause, (0.5, None), (60.5, None))) == 2


@pytest.mark.parametrize("cause", ["offsets", "retention", "truncate"])
def test_what_one_partition_lost_is_its_own(cause: str) -> None:
    assert len(ids(cause, (0.5, 30.0), (1.5, 30.0))) == 2
    assert len(ids(cause, (0.5, 30.0), (0.5, 30.0))) == 1

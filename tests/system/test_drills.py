"""Drills as a user plays them: one on the real stack, and the names of all that are promised."""

from __future__ import annotations

import json

import pytest

from app.demo.drills.play import NAMES, choose
from app.errors import Fatal
from tests.support.commands import run_command

PROMISED = {
    "records_deleted",
    "slot_dropped",
    "poller_beyond_retention",
    "truncate",
    "alter_type",
    "column_dropped",
    "copy_restart",
    "backup_restored",
    "stale_rpc",
    "clocks_apart",
}


async def test_a_truncated_table_is_declared_swept_and_told_without_a_false_alarm() -> None:
    played = await run_command(*["demo", "--drill", "truncate", "--seed", "3", "--json"], within=300.0)
    result = json.loads(played.out)
    assert played.code == 0, played.out + played.err
    [(name, drill)] = result["drills"].items()
    assert (name, drill["ok"], drill["false_alarms"]) == ("truncate", True, 0)
    assert drill["declared"] >= 1
    assert drill["found"] == 3
    assert drill["problems"] == []


async def test_an_unknown_drill_is_refused_with_the_names_that_there_are() -> None:
    played = await run_command(*["demo", "--drill", "no-such"])
    assert played.code == 2
    assert "slot_dropped" in played.err
    with pytest.raises(Fatal, match="none of that name"):
        choose("no-such")
    assert set(NAMES) == set(choose("all")) == PROMISED

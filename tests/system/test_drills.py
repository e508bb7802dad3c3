"""Drills as a user plays them: some on the real stack, and the names of all that are promised."""

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
    "silent_overwritten",
}


DECLARED = {
    "silent_change": {"as_of"},
    "truncate": {"truncate"},
    "slot_dropped": {"slot", "epoch"},
    "column_dropped": {"schema"},
    "backup_restored": {"epoch"},
}
"""Five of them, one after the other on one system: what each must say was lost."""


async def test_losses_are_declared_and_swept_without_a_false_alarm() -> None:
    """Sweeps done, incidents closed, and the worker's state is that of both sides, key by key."""
    names = ",".join(DECLARED)
    played = await run_command(*["demo", "--drill", names, "--seed", "3", "--json"], within=720.0)
    assert played.code == 0, played.out + played.err
    result = json.loads(played.out)
    assert list(result["drills"]) == list(DECLARED)
    for name, drill in result["drills"].items():
        assert (name, drill["ok"], drill["false_alarms"]) == (name, True, 0)
        assert (name, set(drill["causes"])) == (name, DECLARED[name])
        assert drill["declared"] <= 2 * len(DECLARED[name]), "an incident a loss, not one a partition"
        assert drill["problems"] == []
    assert result["drills"]["truncate"]["found"] == 3


async def test_an_unknown_drill_is_refused_with_the_names_that_there_are() -> None:
    played = await run_command(*["demo", "--drill", "no-such"])
    assert played.code == 2
    assert "slot_dropped" in played.err
    with pytest.raises(Fatal, match="none of that name"):
        choose("no-such")
    with pytest.raises(Fatal, match="no-such"):
        choose("truncate,no-such")
    assert choose("slot_dropped, truncate") == ("slot_dropped", "truncate")
    assert set(NAMES) == set(choose("all")) > PROMISED

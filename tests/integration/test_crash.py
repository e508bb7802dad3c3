"""Workers die at the worst places; state and messages end as one pass over the input makes them.

A harness that cannot fail proves nothing: the three mutants of the design must be caught by it.
"""

from __future__ import annotations

from tests.support.crash import Plan, run_crash
from tests.support.services import Services


def test_five_kills_lose_and_double_nothing(services: Services) -> None:
    """Three deaths between two durable stages, in a group that has never committed, and two at any time."""
    verdict = run_crash(Plan(services.kafka, kills=2, stages=("publish", "write0", "write1")))

    assert verdict.is_right, verdict
    assert verdict.kills == 5
    assert verdict.exits == [0]


def test_telling_after_the_state_is_durable_is_caught(services: Services) -> None:
    """Mutant: a crash between the two loses a message, because the replay finds its own effect."""
    verdict = run_crash(Plan(services.kafka, kills=0, stages=("write1",), mutant="order"))

    assert verdict.missing > 0, verdict


def test_ignoring_the_positions_in_the_state_is_caught(services: Services) -> None:
    """Mutant: repeated records count twice."""
    verdict = run_crash(Plan(services.kafka, kills=0, stages=("write1", "write1"), mutant="noidem"))

    assert verdict.wrong_in_changelog > 0, verdict


def test_committing_before_all_is_acknowledged_is_caught(services: Services) -> None:
    """Mutant: with a slow broker offsets run ahead of the changelog, and a crash loses what is between."""
    verdict = run_crash(Plan(services.kafka, kills=2, mutant="nogate"))

    assert verdict.wrong_in_changelog > 0, verdict

"""What must always be true of the detector, over seeded worlds that know the truth."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from app.detector.model import (
    INFINITY,
    SECOND,
    EntryAsOf,
    Exemption,
    Input,
    Mark,
    Mute,
    RowAsOf,
    Seeded,
    Side,
)
from app.stream.state import encode_left, encode_right
from tests.simulation import truth
from tests.simulation.check import Outcome, World, micros, rule, run
from tests.simulation.feed import RULE_ID, Feed, Manner
from tests.simulation.life import START, Habits

HABITS = Habits(
    drift=0.2,
    gone=0.06,
    hidden=0.05,
    short=0.05,
    moves=0.2,
    twice=0.1,
    several_rows=0.2,
    one_sided=0.2,
    hot=0.1,
    open_for_us=20 * SECOND,
)


def world(seed: int, **changes: object) -> World:
    """A world of its own for each seed: stalls, duplicates, clocks apart, coalescing pages."""
    r = random.Random(seed)
    manner = Manner(
        stalls=r.random() < 0.5,
        duplicates=r.choice((0, 0.2)),
        offset_us=r.choice((0, 1, 2, -2)) * SECOND,
        full_images=r.random() < 0.5,
        page_ledgers=r.choice((1, 1, 4)),
        read_ahead=r.choice((0, 0, 2)),
        page_us=r.choice((SECOND // 10, 3 * SECOND)),
    )
    return World(seed, HABITS, replace(manner, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(24))
def test_only_true_violations_are_published_and_all_long_ones_are(seed: int) -> None:
    simulated = world(seed)

    outcome = run(simulated.feed.inputs())

    assert outcome.told
    assert not outcome.incidents
    simulated.check_precision(outcome)  # I1
    simulated.check_recall(outcome)  # I2


@pytest.mark.parametrize("seed", range(12))
def test_joined_and_longer_stretches_lie_inside_true_violations_and_joined_gaps(seed: int) -> None:
    simulated = world(seed, page_ledgers=1, read_ahead=0, offset_us=0)
    hysteresis = random.Random(seed).choice((5, 40)) * SECOND

    outcome = run(simulated.feed.inputs(), rule(hysteresis_us=hysteresis))

    for key in simulated.life.keys:
        end = outcome.detector.verified_through
        gaps = truth.minus(
            outcome.stretches(key, end), truth.violations(simulated.life, key, end + 60 * SECOND)
        )
        assert all(until - start < hysteresis + 4 * truth.SKEW for start, until in gaps), (seed, key, gaps)
    simulated.check_recall(outcome)


@pytest.mark.parametrize("seed", range(8))
def test_a_stretch_is_judged_when_the_later_watermark_has_come_to_it(seed: int) -> None:
    """I3: nothing is told later than at the first marks that reach its start + lead + skew + min."""
    simulated = world(seed, read_ahead=0)
    reach = truth.LEAD + truth.SKEW + truth.MIN

    outcome = run(simulated.feed.inputs())

    for told in outcome.told:
        if told.value["transition"] == "opened":
            left = micros(told.headers["drift_watermark_left"])
            right = micros(told.headers["drift_watermark_right"])
            late = min(left + truth.LEAD + truth.SKEW, right) - micros(told.value["since"]) - reach
            assert -SECOND < late < simulated.manner.page_ledgers * 5 * SECOND + SECOND, (seed, told)


@pytest.mark.parametrize("seed", range(12))
def test_any_order_of_arrival_publishes_the_same(seed: int) -> None:
    """I4, and I5: what is told again with the state kept adds nothing."""
    simulated = world(seed)
    outcome = run(simulated.feed.inputs())

    another = run(simulated.feed.shuffled(random.Random(seed)))
    again = [
        effect
        for item in simulated.feed.inputs()
        for effect in (
            another.detector.advance(item) if isinstance(item, Mark) else another.detector.observe(item)  # type: ignore[arg-type]
        )
    ]

    assert another.by_id == outcome.by_id, seed
    assert not again, seed


@pytest.mark.parametrize("seed", range(8))
def test_a_horizon_never_moves_back_and_nothing_after_t_is_judged(seed: int) -> None:
    """I7. The marks' own law is held in `run`."""
    simulated = world(seed)
    horizons: dict[str, int] = {}

    def watched(inputs: list[Input], outcome: Outcome) -> None:
        detector = outcome.detector
        for item in inputs:
            (detector.advance if isinstance(item, Mark) else detector.observe)(item)  # type: ignore[arg-type]
            for key, state in detector.states.items():
                sides = [side.horizon for side in (state.left, state.right) if side is not None]
                horizon = max(sides, default=-INFINITY)
                assert horizons.get(key, -INFINITY) <= horizon <= detector.verified_through + 1, (seed, key)
                horizons[key] = horizon

    watched(simulated.feed.inputs(), run([]))


@pytest.mark.parametrize("seed", range(8))
def test_the_state_of_a_key_is_bounded_by_what_can_still_matter(seed: int) -> None:
    """I11: at the end no version is left that ended before the window."""
    simulated = world(seed, stalls=False)

    detector = run(simulated.feed.inputs()).detector

    t = detector.verified_through
    for key, state in detector.states.items():
        if state.right is not None and len(state.right.versions) > 1:
            oldest_end = state.right.versions[1].at
            assert oldest_end > t - truth.LAG - truth.SKEW - 30 * SECOND, (seed, key)
        if state.left is not None:
            ends = [row.versions[1].at for row in state.left.rows.values() if len(row.versions) > 1]
            assert all(end > t - 60 * SECOND for end in ends), (seed, key)


@pytest.mark.parametrize("seed", range(8))
def test_what_opened_has_resolved_or_is_active(seed: int) -> None:
    """I12: the counters, the table of open episodes and what was published are one thing."""
    outcome = run(world(seed).feed.inputs())

    counts, detector = outcome.detector.counts, outcome.detector
    active = sum(detector.open_by_severity.values())
    assert counts["opened"] + counts["reopened"] == counts["resolved"] + active
    held = [state.record for state in detector.states.values() if state.record is not None]
    assert active == sum(record.state == "open" for record in held)
    for name in ("opened", "updated", "resolved", "reopened"):
        assert counts.get(name, 0) == sum(told.value["transition"] == name for told in outcome.told)


@pytest.mark.parametrize("seed", range(8))
def test_exempt_and_muted_keys_never_open_and_are_counted(seed: int) -> None:
    """I14."""
    simulated = world(seed)
    free = run(simulated.feed.inputs())
    drifting = sorted({str(told.value["key"]) for told in free.told})
    exempt, muted = drifting[: len(drifting) // 2], drifting[len(drifting) // 2 :]
    exemptions = tuple(Exemption(key, frozenset(), 0, INFINITY, "known") for key in exempt)
    mutes: list[Input] = [Mute(RULE_ID, key, 0, INFINITY, "a person said so") for key in muted]

    outcome = run([*mutes, *simulated.feed.inputs()], rule(exemptions=exemptions))

    assert drifting
    assert not outcome.told
    assert outcome.detector.counts["exempt"] >= len(drifting)


@pytest.mark.parametrize("seed", range(16))
def test_seeds_into_the_middle_of_life_find_old_drift_and_nothing_else(seed: int) -> None:
    """Whatever comes first, seed or change: no false alarm, and what is known on both sides is judged."""
    seed_at = 210 * SECOND
    simulated = world(seed, streams_from_us=200 * SECOND, seed_at_us=seed_at)

    for inputs in (simulated.feed.inputs(), simulated.feed.shuffled(random.Random(seed))):
        outcome = run(inputs, from_empty=False)

        assert not outcome.incidents, seed
        simulated.check_precision(outcome)
        simulated.check_recall(outcome, START + seed_at)


@pytest.mark.parametrize("seed", range(12))
def test_a_sweep_changes_nothing_when_nothing_was_lost(seed: int) -> None:
    """I9, with transactions open across the snapshots, and reads that arrive early and late."""
    sweeps = (150 * SECOND, 400 * SECOND)
    simulated = world(seed, sweeps_at_us=sweeps, page_ledgers=1, read_ahead=0)
    inputs = simulated.feed.inputs()
    plain = run([item for item in inputs if not isinstance(item, RowAsOf | EntryAsOf | Seeded)])

    for arrived in (inputs, simulated.feed.shuffled(random.Random(seed))):
        outcome = run(arrived)

        assert not outcome.incidents, seed
        assert outcome.by_id == plain.by_id, seed
        assert outcome.detector.counts["as_of_confirmed"] > 0


@pytest.mark.parametrize("seed", range(16))
def test_told_losses_cost_no_precision_and_misses_lie_in_declared_stretches(seed: int) -> None:
    """I10: changes, pages and their marks are lost at 1 %; jumps of offsets and of ledgers tell of it."""
    sweeps = (400 * SECOND, 1000 * SECOND)
    simulated = world(seed, seconds=1500, losses=0.01, sweeps_at_us=sweeps)
    assert simulated.feed.lost[Side.LEFT] or simulated.feed.lost[Side.RIGHT]

    for inputs in (simulated.feed.inputs(), simulated.feed.shuffled(random.Random(seed))):
        outcome = run(inputs)

        simulated.check_precision(outcome)
        simulated.check_recall(outcome)


@pytest.mark.parametrize("seed", range(12))
def test_every_declared_stretch_ends_with_the_next_sweep(seed: int) -> None:
    """I10: once nothing more is lost, a sweep makes every key known again on both sides."""
    simulated = world(
        seed,
        seconds=900,
        losses=0.03,
        losses_until_us=300 * SECOND,
        sweeps_at_us=(500 * SECOND,),
        stalls=False,
    )

    outcome = run(simulated.feed.inputs())

    assert any(incident.key is None for incident in outcome.incidents)
    for (key, side, start), until in outcome.log.pieces.items():
        if start > START + 300 * SECOND:
            continue
        assert until < START + 600 * SECOND, (seed, key, side, start, until)
    simulated.check_recall(outcome, START + 600 * SECOND)


@pytest.mark.parametrize("seed", range(12))
def test_a_sweep_repairs_what_was_lost_in_silence(seed: int) -> None:
    """Nothing told of the losses and of silent changes; after a sweep the verdicts are true again."""
    r = random.Random(seed)
    habits = replace(HABITS, several_rows=0.0, moves=0.0, gone=0.0, one_sided=0.0, silent=r.choice((0, 0.1)))
    manner = Manner(
        losses=0.02 if not habits.silent else 0.0,
        losses_until_us=300 * SECOND,
        are_losses_told=False,
        full_images=r.random() < 0.5,
        sweeps_at_us=(400 * SECOND, 600 * SECOND),
    )
    simulated = World(seed, habits, manner)
    if habits.silent:
        simulated.life.changes = [
            change._replace(is_silent=False) if change.ledger > 1075 else change
            for change in simulated.life.changes
        ]
        simulated = _told_anew(simulated)

    outcome = run(simulated.feed.inputs())

    settled = START + 500 * SECOND
    simulated.check_precision(outcome, settled)
    simulated.check_recall(outcome, settled)


def _told_anew(simulated: World) -> World:
    """The same life, told again after it was changed."""
    simulated.feed = Feed(random.Random(simulated.seed), simulated.life, simulated.manner)
    return simulated


def test_a_quiet_key_is_small() -> None:
    """I11: at rest a key in agreement holds one version a side, in less than 360 bytes."""
    detector = run(world(1, stalls=False).feed.inputs()).detector

    sizes = [
        len(encode_left(state.left)) + len(encode_right(state.right))
        for state in detector.states.values()
        if state.left is not None
        and state.right is not None
        and len(state.right.versions) == 1
        and all(len(row.versions) == 1 for row in state.left.rows.values())
    ]
    assert sizes
    assert max(sizes) < 360

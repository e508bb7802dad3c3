"""Every kind of world, small: no false alarm, no undeclared miss, and a detector that errs is caught."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from app.detector.model import SECOND, Transition
from app.detector.suspects import LIVE
from app.simulation import judging, sweeping
from app.simulation.baselines import HOURLY, LATEST, WAITS_S, waiting_name
from app.simulation.confirming import Confirming
from app.simulation.histories import START, Cause
from app.simulation.judging import Mortal, Stretch
from app.simulation.life import build_lives
from app.simulation.manner import Facts
from app.simulation.scenarios import SCENARIOS, Promise, Scenario, Size, find_scenario
from app.simulation.score import Case, Drift, Score, score_key
from app.simulation.telling import Telling
from app.simulation.world import live_partition, run_world

SMALL = Size(keys=150, partitions=2, seconds=3600)


def scenario_named(name: str) -> Scenario:
    found = find_scenario(name)
    assert found is not None
    return found


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_verdict_is_right(scenario: Scenario) -> None:
    """I1, I2 and, where nothing is lost, that nothing is unverifiable."""
    score = run_world(7, scenario, SMALL)

    assert not score.failures, score.failures
    assert score.own.false_alarms == score.undeclared_misses == 0
    assert score.true_drifts > 20
    if scenario.promise is Promise.COMPLETE:
        assert score.unverifiable_us == 0
        assert score.own.found == score.true_drifts


def test_a_world_is_its_seed() -> None:
    calm = scenario_named("arrival out of order")

    one, again, other = (run_world(seed, calm, SMALL) for seed in (3, 3, 4))

    assert one == again
    assert one.own.latencies_s != other.own.latencies_s


def test_arrival_does_not_change_what_is_found() -> None:
    """The same lives under other delays: the same drifts, told later."""
    calm, lagging = (run_world(5, scenario_named(name), SMALL) for name in ("calm", "right lags"))

    assert calm.by_cause == lagging.by_cause
    assert sum(lagging.own.latencies_s) > sum(calm.own.latencies_s)


def test_restarts_happen_and_are_survived() -> None:
    score = run_world(2, scenario_named("worker restarts"), replace(SMALL, keys=400))

    assert score.restarts > 2
    assert not score.failures


def test_the_usual_ways_err_over_the_same_truth() -> None:
    score = run_world(1, scenario_named("left stalls"), Size(300, 1, 7200))

    latest, hourly = score.baselines[LATEST], score.baselines[HOURLY]
    assert latest.precision < 0.3
    assert latest.recall > 0.95
    assert hourly.recall < 0.3
    waits = [score.baselines[waiting_name(wait)] for wait in WAITS_S]
    assert waits[0].recall > waits[1].recall > waits[2].recall
    assert all(0.05 < wait.precision < 0.99 for wait in waits)


def test_silent_losses_are_counted_and_not_forbidden() -> None:
    score = run_world(1, scenario_named("5 % of entry changes without event"), Size(150, 1, 7200))

    assert score.own.false_alarms > 0
    assert score.omniscient_us > 0


@pytest.mark.parametrize("share", ["1 %", "5 %"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_reading_both_sides_before_telling_takes_away_the_false_alarms(side: str, share: str) -> None:
    """I10: precision stays 1, what is missed was declared, and no more than twice what somebody who knew each
    lost record would have declared."""
    confirmed = Score()
    for seed in range(1, 4):
        scenario = scenario_named(f"{side} loses {share}, silent, confirmed")
        confirmed.add(run_world(seed, scenario, Size(200, 1, 7200)))

    assert confirmed.counts["suspected"] >= confirmed.own.alarms > 0
    assert (confirmed.own.false_alarms, confirmed.undeclared_misses) == (0, 0)
    assert confirmed.unverifiable_share <= 2 * confirmed.omniscient_share


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("right loses 5 %, silent, confirmed", 5),
        ("5 % of entry changes without event, confirmed", 1),
        ("5 % of entry changes without event, confirmed", 5),
    ],
)
def test_what_the_ledgers_keep_takes_away_the_false_alarms_of_a_double_loss(
    name: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change without a record, and the entry changed again before anybody reads it: nothing is told that
    was not there, and nothing as lasting that had ended; without the ledgers it is."""
    told = []
    for steps in (8, 0):
        monkeypatch.setattr(sweeping, "MOST_STEPS", steps)
        score = run_world(seed, scenario_named(name), Size(200, 1, 7200))
        told.append(score.own.false_alarms)

    assert told[0] == 0
    assert told[1] > 0


@pytest.mark.parametrize("seed", [0, 4, 13])
def test_before_images_find_what_was_overwritten_before_anybody_had_a_reason_to_look(seed: int) -> None:
    silent = "5 % of entry changes without event"
    missed = []
    for how in ("confirmed", "before-images too"):
        score = run_world(seed, scenario_named(f"{silent}, {how}"), Size(200, 1, 7200))
        assert score.own.false_alarms == 0
        missed.append(score.undeclared_misses)

    assert missed[0] > 0
    assert missed[1] == 0


def test_confirming_changes_nothing_where_nothing_is_lost() -> None:
    calm = scenario_named("calm")
    confirming = replace(calm, manner=replace(calm.manner, confirms=True))

    plain, confirmed = (run_world(3, each, SMALL) for each in (calm, confirming))

    assert (plain.own.alarms, plain.own.false_alarms) == (confirmed.own.alarms, confirmed.own.false_alarms)
    assert confirmed.own.false_alarms == 0
    assert confirmed.counts["suspected"] >= confirmed.own.alarms > 0
    assert "withdrawn" not in confirmed.counts
    assert not confirmed.failures


def test_deaths_between_durable_writes_change_nothing_of_what_was_confirmed() -> None:
    scenario = scenario_named("left loses 5 %, silent, confirmed")
    r = random.Random(5)
    facts = Facts(build_lives(r, scenario.habits, 60, 7200), 7200)
    telling = Telling(r, facts, scenario.manner)
    confirming = Confirming(r, facts, scenario.manner)

    whole = confirming.run(telling.told, from_empty=True)
    killed = Mortal(r, from_empty=True, confirmed=LIVE).run(confirming.fed)

    assert killed.restarts > 2
    assert whole.counts["withdrawn"] > 0
    assert not killed.second_payloads
    told = ({effect.ce_id: effect.value for _, effect in run.transitions} for run in (whole, killed))
    assert next(told) == next(told)


# ---- the scorer itself can fail


def case(told: list[Stretch], unknown: list[tuple[int, int]] | None = None) -> Case:
    """A violation of `creditLimit` from second 100 to 200."""
    span = (START + 100 * SECOND, START + 200 * SECOND)
    drift = Drift(*span, Cause.MANUAL_EDIT)
    return Case("key", {0: [span]}, [span], [drift], told, unknown or [])


def stretch(start_s: int, until_s: int, field: str = "creditLimit") -> Stretch:
    at = START + start_s * SECOND
    return Stretch(at, at + 20 * SECOND, START + until_s * SECOND, [(at, field)])


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ([stretch(99, 200)], "false alarm"),
        ([stretch(100, 201)], "ended late"),
        ([stretch(150, 201)], "ended late"),
        ([stretch(200, 201)], "false alarm"),
        ([stretch(100, 200, "status")], "false field"),
        ([], "missed manual edit"),
        ([stretch(102, 198), stretch(300, 310)], "false alarm"),
    ],
)
def test_a_wrong_verdict_is_named(told: list[Stretch], word: str) -> None:
    verdicts = judging.Verdicts(verified_through=START + 400 * SECOND)
    score = Score()

    wrong = score_key(score, case(told), verdicts)

    assert word in wrong[0]
    assert score.own.late_ends == (word == "ended late")
    assert score.own.false_alarms == len(told[-1:])


def test_a_right_verdict_is_not() -> None:
    verdicts = judging.Verdicts(verified_through=START + 400 * SECOND)
    score = Score()

    assert not score_key(score, case([stretch(102, 198)]), verdicts)
    assert (score.own.found, score.own.misses) == (1, 0)
    assert list(score.own.latencies_s) == [22.0]


def test_a_miss_in_a_declared_stretch_is_declared() -> None:
    verdicts = judging.Verdicts(verified_through=START + 400 * SECOND)
    score = Score()
    unknown = [(START + 90 * SECOND, START + 190 * SECOND + 1)]

    assert not score_key(score, case([], unknown), verdicts)
    assert (score.declared_misses, score.undeclared_misses) == (1, 0)


def test_two_payloads_of_one_id_are_noticed() -> None:
    partition = live_partition(1, scenario_named("calm"), Size(100, 1, 3600), 0)
    arrival, told = partition.verdicts.transitions[0]
    changed = Transition(*told)._replace(value=told.value | {"flaps": 9})

    partition.verdicts.transitions.append((arrival, changed))
    judging._gather(partition.verdicts)

    assert partition.verdicts.second_payloads == [told.ce_id]

"""One sweep of a rule at a time: what is asked for meanwhile, tried again, and taken up after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from app.detector.values import format_time
from app.rules import LoadedRule, load_rules
from app.rules.canonical import microseconds
from app.settings import RULES_FOLDER
from app.sweep.desk import PERSON, SEED_COVERS, Desk, DeskOptions, DeskParts
from app.sweep.metrics import SweepMetrics
from app.sweep.schedule import Schedule
from app.sweep.sweep import Sweeper, SweepOptions, SweepSources
from app.sweep.sweep_run import State, SweepRun
from tests.support.sweeping import AT, HandClock, Memory
from tests.support.waiting import eventually

AT_ONCE = DeskOptions(gather_s=0.0, rest_s=0.0, back_off_s=(1.0, 2.0), waits_for_seed=False)
NEVER = Schedule()


@dataclass(frozen=True)
class Request:
    """What somebody asks for."""

    cause: str = "truncate"
    run: str = "r1"
    action: str = "start"


@pytest.fixture(scope="module")
def rule() -> LoadedRule:
    return load_rules((Path(RULES_FOLDER) / "credit.yaml",), {"CREDIT_CONTRACT_ID": "C"})[0]


@pytest.fixture
def place() -> Memory:
    value = ("G", 1, "active", 1, 500)
    return Memory(HandClock(), rows=[("a", value), ("b", value)], entries={"a": value}, listed=("a",))


def desk(place: Memory, rule: LoadedRule, options: DeskOptions = AT_ONCE, schedule: Schedule = NEVER) -> Desk:
    metrics = SweepMetrics(place.clock)
    quick = SweepOptions(page_size=1, patience_s=0.0)
    sweeper = Sweeper(SweepSources(place, place, place, place, place), place.clock, quick, metrics)
    return Desk(rule, DeskParts(sweeper, place, place, place.clock, metrics), schedule, options)


@asynccontextmanager
async def working(one: Desk) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(one.work())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def states(place: Memory) -> dict[str, str]:
    return {run["run"]: run["state"] for run in place.runs("credit-line")}


async def until(place: Memory, expected: dict[str, str]) -> None:
    await eventually(lambda: states(place) == expected, within=5.0, every=0.005)


async def test_a_request_is_durable_before_it_is_answered_and_then_swept(
    place: Memory, rule: LoadedRule
) -> None:
    one = desk(place, rule)
    await one.ask(Request())
    assert states(place) == {"r1": State.WAITING}
    async with working(one):
        await until(place, {"r1": State.DONE})
    assert place.told[-1]["cause"] == "truncate"
    assert place.told[-1]["in_flight"] == 1


async def test_requests_of_one_loss_are_one_run_and_a_persons_request_says_what_became_of_it(
    place: Memory, rule: LoadedRule
) -> None:
    one = desk(place, rule)
    for run in ("r1", "r2", "r1"):
        await one.ask(Request(run=run))
    await one.ask(Request(PERSON, "mine"))
    async with working(one):
        await until(place, {"r1": State.DONE, "mine": State.MERGED})
    assert [run["into"] for run in place.runs("credit-line") if run["run"] == "mine"] == ["r1"]


async def test_a_request_during_a_run_is_another_run_after_it(place: Memory, rule: LoadedRule) -> None:
    one = desk(place, rule)
    await one.ask(Request(action="pause"))
    await one.ask(Request(run="r1"))
    async with working(one):
        await until(place, {"r1": State.PAUSED})
        await one.ask(Request(run="r2"))
        assert states(place) == {"r1": State.PAUSED, "r2": State.WAITING}
        await one.ask(Request(action="resume"))
        await until(place, {"r1": State.DONE, "r2": State.DONE})
    assert place.happened.count("end left") == 2


async def test_a_restart_takes_up_what_was_begun_and_what_waited(place: Memory, rule: LoadedRule) -> None:
    begun = SweepRun.asked("credit-line", "truncate", AT, "begun")
    begun.begin(rule, AT)
    begun.after = ("1",)
    await place.tell_run(begun.record())
    for n, run in enumerate(("waits", "too"), 1):
        await place.tell_run(SweepRun.asked("credit-line", "slot", AT + n, run).record())
    async with working(desk(place, rule)):
        await until(place, {"begun": State.DONE, "waits": State.DONE, "too": State.MERGED})
    assert place.happened[0] == "rows a", "the keys of the pages before"
    assert place.happened[1] == "rows b"


async def test_trouble_that_passes_is_tried_again_from_its_page(place: Memory, rule: LoadedRule) -> None:
    place.fails_at = "publish b"
    one = desk(place, rule)
    sleep = place.clock.sleep

    async def mended(seconds: float) -> None:
        place.fails_at = None
        await sleep(seconds)

    place.clock.sleep = mended  # type: ignore[method-assign]
    loss = {"id": "loss", "cause": "slot", "source": "db", "until": format_time(AT), "state": "open"}
    place.incidents["loss"] = loss
    await one.ask(Request())
    async with working(one):
        await until(place, {"r1": State.DONE})
    assert (place.told[-1]["attempt"], place.told[-1]["why"]) == (2, None)
    assert place.incidents["loss"]["state"] == "closed"
    assert [what for what in place.happened if what.startswith("publish")] == [
        *("publish aa", "publish bb", "publish bb"),
    ]


async def test_what_fails_every_time_is_given_up_among_the_dead_letters(
    place: Memory, rule: LoadedRule
) -> None:
    place.fails_at = "list"
    one = desk(place, rule)
    await one.ask(Request())
    async with working(one):
        await until(place, {"r1": State.FAILED})
        await eventually(lambda: place.buried, within=5.0)
    assert place.told[-1]["attempt"] == 3
    assert "it is away" in place.told[-1]["why"]


CRITICAL = {"b": {"key": "b", "severity": "critical"}}


async def test_critical_drift_fails_a_run_where_the_rule_says_so(place: Memory, rule: LoadedRule) -> None:
    place.episodes = CRITICAL
    one = desk(place, rule)
    await one.ask(Request())
    async with working(one):
        await eventually(lambda: place.buried, within=5.0)
    runs = place.runs("credit-line")
    assert [(run["state"], run["attempt"], run["drifting"]) for run in runs] == [
        ("failed", 1, 1),
        ("failed", 2, 1),
        ("failed", 3, 1),
    ]
    assert [run["cause"] for run in runs] == ["truncate", "retry", "retry"]
    assert place.buried == [[{"key": "b", "severity": "critical"}]]


async def test_milder_drift_fails_no_run(place: Memory, rule: LoadedRule) -> None:
    place.episodes = {"b": {"key": "b", "severity": "medium"}}
    one = desk(place, rule)
    await one.ask(Request())
    async with working(one):
        await until(place, {"r1": State.DONE})
    assert place.told[-1]["drifting"] == 1


async def test_drift_that_heals_before_it_is_tried_again_ends_in_a_run_that_is_done(
    place: Memory, rule: LoadedRule
) -> None:
    place.episodes = CRITICAL
    one = desk(place, rule, replace(AT_ONCE, back_off_s=(3600.0,)))
    await one.ask(Request())
    async with working(one):
        await eventually(lambda: State.FAILED in states(place).values(), within=5.0)
        place.episodes = {}
        await eventually(lambda: State.DONE in states(place).values(), within=5.0)
    assert [run["why"] for run in place.runs("credit-line")] == [
        "1 keys drift with severity critical or above",
        None,
    ]
    assert place.buried == []


async def test_a_loss_ends_with_the_run_that_drift_fails_and_the_run_counts_as_ended(
    place: Memory, rule: LoadedRule
) -> None:
    place.episodes = CRITICAL
    loss = {"id": "loss", "cause": "slot", "source": "db", "until": format_time(AT), "state": "open"}
    place.incidents["loss"] = loss
    one = desk(place, rule)
    await one.ask(Request())
    async with working(one) as task:
        await eventually(lambda: State.FAILED in states(place).values(), within=5.0)
        assert place.incidents["loss"]["state"] == "closed"
        assert not task.done()
    [finished] = one._metrics.finished.collect()
    assert [sample.value > 0 for sample in finished.samples] == [True]


@pytest.mark.parametrize("cause", [PERSON, "slot"])
async def test_a_request_takes_the_place_of_a_run_that_would_only_try_again(
    place: Memory, rule: LoadedRule, cause: str
) -> None:
    place.episodes = CRITICAL
    one = desk(place, rule)
    await one.ask(Request())
    sleep, asked = place.clock.sleep, False

    async def ask_meanwhile(seconds: float) -> None:
        nonlocal asked
        await sleep(seconds)
        if not asked and one._waiting is not None and one._waiting.attempt == 2:
            asked, place.episodes = True, {}
            await one.ask(Request(cause, "mine"))

    place.clock.sleep = ask_meanwhile  # type: ignore[method-assign]
    async with working(one):
        await eventually(lambda: states(place).get("mine") == State.DONE, within=5.0)
    runs = {run["cause"]: run for run in place.runs("credit-line")}
    assert (runs["retry"]["state"], runs["retry"]["into"]) == (State.MERGED, "mine")
    assert runs[cause]["attempt"] == 1


async def test_what_nobody_has_judged_fails_nothing_and_ends_no_loss(place: Memory, rule: LoadedRule) -> None:
    place.episodes, place.verified = CRITICAL, None
    loss = {"id": "loss", "cause": "slot", "source": "db", "until": format_time(AT), "state": "open"}
    place.incidents["loss"] = loss
    one = desk(place, rule)
    await one.ask(Request())
    async with working(one):
        await until(place, {"r1": State.DONE})
    assert "not judged" in place.told[-1]["why"]
    assert place.incidents["loss"]["state"] == "open"


@pytest.mark.parametrize(("is_seeded", "expected"), [(False, {}), (True, {"r1": "waiting"})])
async def test_the_first_seed_covers_the_start_of_the_connector(
    place: Memory, rule: LoadedRule, is_seeded: bool, expected: dict[str, str]
) -> None:
    if is_seeded:
        seed: dict[str, Any] = {"run": "s", "kind": "seed", "state": "done", "requested_at": ""}
        place.told.append(seed)
        expected = {"s": "done", **expected}
    one = desk(place, rule, replace(AT_ONCE, waits_for_seed=True))
    await one.ask(Request(SEED_COVERS))
    assert states(place) == expected


async def test_the_clock_asks_by_itself(place: Memory, rule: LoadedRule) -> None:
    one = desk(place, rule, schedule=Schedule(every_us=3_600_000_000))
    async with working(one):
        await eventually(lambda: list(states(place).values())[:2] == ["done"] * 2, within=5.0)
    first, second = [microseconds(run["started_at"]) or 0 for run in place.runs("credit-line")[:2]]
    assert place.told[-1]["cause"] == "schedule"
    assert 3600 <= (first - AT) / 1e6 < 3605
    assert 3600 <= (second - first) / 1e6 < 3605


async def test_incidents_of_before_end_with_the_run_and_those_of_meanwhile_do_not(
    place: Memory, rule: LoadedRule
) -> None:
    def incident(name: str, source: str | None, until_us: int, cause: str = "slot") -> dict[str, Any]:
        at = format_time(until_us)
        return {"id": name, "cause": cause, "source": source, "until": at, "state": "open"}

    for each in (
        incident("before", "db", AT),
        incident("meanwhile", "db", AT + 60_000_000),
        incident("chain", None, AT, "retention"),
        incident("parked", "db", AT, "parked"),
    ):
        place.incidents[each["id"]] = each
    one = desk(place, rule)
    await one.ask(Request())
    async with working(one):
        await until(place, {"r1": State.DONE})
    assert {name: one["state"] for name, one in place.incidents.items()} == {
        "before": "closed",
        "meanwhile": "open",
        "chain": "closed",
        "parked": "open",
    }

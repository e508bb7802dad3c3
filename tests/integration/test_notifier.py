"""`driftwatch notifier` over a real broker and a real database, told targets being real HTTP servers."""

from __future__ import annotations

import re
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.desk_database import migrated_database
from tests.support.receiver import OK, Came, Receiver, Reply, running_receiver
from tests.support.services import Services
from tests.support.waiting import eventually
from tests.support.webhooks import SECRET, NotifierWorld, mismatch, stories

README = Path(__file__).parents[2] / "connectors" / "http" / "README.md"
QUICK = "retry: {attempts: 200, first: 20ms, most: 200ms}, breaker: {failures: 5, rest: 100ms, most: 400ms}"


@pytest.fixture(name="database", scope="module")
def _database(services: Services) -> Iterator[str]:
    with migrated_database(services.database, "webhooks") as dsn:
        yield dsn


def target(name: str, url: str, more: str = "group: {window: 0s}") -> str:
    return (
        f"  - {{name: {name}, url: '{url}', secret: '${{TEST_SECRET}}', timeout: 500ms, {QUICK}, {more}}}\n"
    )


def is_ours() -> Callable[[str, str, bytes], bool]:
    """The receivers' snippet, as the document has it."""
    found = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    names: dict[str, Any] = {}
    exec(found[1], names)  # noqa: S102 - the document's own words
    checked: Callable[[str, str, bytes], bool] = names["is_ours"]
    return checked


def told_by_group(came: Sequence[Came]) -> tuple[int, int]:
    """(groups, transitions in them and beside them), each notice once."""
    events = {each.id: each.event for each in came if each.status == 200}
    groups = [event["data"] for event in events.values() if event["type"] == "drift.notice.group"]
    return len(groups), sum(group["count"] for group in groups) + len(events) - len(groups)  # type: ignore[index]


class Moody:
    """Answers in every way there is; `refused` is what it refuses for good, until it thinks better of it."""

    def __init__(self, events: Sequence[dict[str, Any]]) -> None:
        ids = [event["id"] for event in events]
        self.refused = {ids[7]}
        self._moods = {
            ids[1]: [Reply(500), Reply(503)],
            ids[3]: [Reply(429, headers={"Retry-After": "1"})],
            ids[5]: [Reply(after_s=0.8)],
            ids[9]: [Reply(0)],
            ids[11]: [Reply(408)],
        }

    def __call__(self, path: str, notice: str, number: int) -> Reply:
        if path == "/moody" and notice in self.refused:
            return Reply(400)
        moods = self._moods.get(notice) if path == "/moody" else None
        return moods.pop(0) if moods else OK


async def test_every_transition_arrives_whatever_targets_do_and_whenever_the_notifier_is_killed(
    services: Services, database: str, tmp_path: Path
) -> None:
    late = Receiver()
    await late.start()
    await late.die()
    async with running_receiver() as receiver:
        world = NotifierWorld(
            services.kafka,
            database,
            tmp_path,
            "targets:\n"
            + target("steady", receiver.url("/steady"))
            + target("moody", receiver.url("/moody"))
            + target("late", late.url("/late"))
            + target("many", receiver.url("/many"), "group: {window: 1s, over: 5, list: 3}"),
        )
        await world.make_topics()
        first, second = stories([f"K{number}" for number in range(20)]), stories(["L1", "L2", "L3"])
        moody = receiver.decide = Moody(first)
        everything = [event["id"] for event in (*first, *second)]

        async with world.notifier("--from-beginning") as running:
            await world.tell(first)
            await eventually(lambda: len(receiver.taken("/steady")) >= 15, 30)
            await running.stop(signal.SIGKILL)
        assert len(receiver.taken("/moody")) < len(first)
        async with world.notifier("--from-beginning") as running:
            await world.tell([*first[-10:], *second])  # some of them for the second time
            await eventually(lambda: set(receiver.taken("/steady")) == set(everything), 30)
            await eventually(lambda: set(receiver.taken("/moody")) == set(everything) - moody.refused, 15)
            await eventually(lambda: told_by_group(receiver.at("/many"))[1] == len(everything), 15)
            metrics = await running.metrics()
            assert 'driftwatch_webhook_circuit{circuit="closed",target="steady"} 1.0' in metrics
            assert f'driftwatch_webhook_queue{{target="late"}} {len(everything)}.0' in metrics
            assert late.came == [], "what is dead was not waited for"
            await late.start()
            await eventually(lambda: set(late.taken("/late")) == set(everything), 15)

            await replay_the_dead_letter(world, moody)
            await eventually(lambda: set(receiver.taken("/moody")) == set(everything), 10)
            assert (await world.run("alert", "dead-letters")).out == "no dead letters\n"
        await late.die()

        came = [*receiver.came, *late.came]
        assert told_by_group(receiver.at("/many"))[0] >= 1
    assert_signed_and_the_same(came)
    assert_in_order(receiver.at("/steady"))
    assert_in_order(late.at("/late"))
    assert SECRET not in world.log
    assert "/moody" not in world.log


async def replay_the_dead_letter(world: NotifierWorld, moody: Moody) -> None:
    """The one that was refused for good, once the target takes it."""
    listed = await world.run("alert", "dead-letters")
    assert [line.split()[2:3] for line in listed.out.splitlines()] == [["moody"]]
    moody.refused.clear()
    again = await world.run("alert", "replay", listed.out.split()[0])
    assert (again.code, again.out) == (0, "1 will be told again\n")


def assert_signed_and_the_same(came: Sequence[Came]) -> None:
    """Every delivery is signed by us, and a retry is the same message."""
    bodies = defaultdict(set)
    for each in came:
        bodies[each.path, each.id].add(each.body)
        assert is_ours()(SECRET, each.headers["X-Driftwatch-Signature"], each.body)
        assert not is_ours()("another secret", each.headers["X-Driftwatch-Signature"], each.body)
    assert {len(found) for found in bodies.values()} == {1}


def assert_in_order(came: Sequence[Came]) -> None:
    """Each key's transitions came in their order, repeats left out."""
    sequences = defaultdict(list)
    for event in {each.id: each.event for each in came if each.status == 200}.values():
        data: Any = event["data"]
        sequences[data["key"]].append(data["sequence"])
    assert sequences
    assert {tuple(found) for found in sequences.values()} == {(0, 1, 2)}


async def test_a_key_that_flaps_is_told_once_and_again_when_it_is_calm(
    services: Services, database: str, tmp_path: Path
) -> None:
    flaps = [mismatch("F", 0, "opened")]
    for number in range(1, 21, 2):
        flaps += [mismatch("F", number, "resolved"), mismatch("F", number + 1, "reopened")]
    later = mismatch("F", 99, "resolved", at_s=9_000)
    async with running_receiver() as receiver:
        world = NotifierWorld(
            services.kafka, database, tmp_path, "targets:\n" + target("quiet", receiver.url("/"))
        )
        await world.make_topics()
        async with world.notifier() as running:
            await running.until_ready()
            await world.tell([*flaps, later])
            await eventually(lambda: later["id"] in receiver.taken("/"), 15)
    kinds = [str(each.event["type"]).rpartition(".")[2] for each in receiver.came]
    told = ["opened", *["resolved", "reopened"] * 4, "resolved", "flapping", "calm", "resolved"]
    assert kinds == told


async def test_alert_test_says_of_each_target_what_it_answered(
    services: Services, database: str, tmp_path: Path
) -> None:
    async with running_receiver() as receiver:
        receiver.decide = lambda path, notice, number: Reply(403) if path == "/strict" else OK
        targets = target("good", receiver.url("/good")) + target("strict", receiver.url("/strict"))
        world = NotifierWorld(services.kafka, database, tmp_path, "targets:\n" + targets)
        both, one = await world.run("alert", "test"), await world.run("alert", "test", "--target", "good")
    assert (both.code, both.out) == (1, "ok      good  HTTP 200\nFAILED  strict  HTTP 403\n")
    assert (one.code, one.out) == (0, "ok      good  HTTP 200\n")
    event: Any = receiver.at("/good")[0].event
    assert (event["type"], event["data"]["test"]) == ("drift.notice.test", True)
    assert is_ours()(SECRET, receiver.came[0].headers["X-Driftwatch-Signature"], receiver.came[0].body)

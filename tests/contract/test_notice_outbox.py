"""The notifier's outbox on a real PostgreSQL: told once, in order, in windows, given up and told again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

import asyncpg
import pytest
from pydantic import SecretStr

from app.desk.notifier.deciding import Decider
from app.desk.notifier.flapping import Limits
from app.desk.notifier.messages import group_notice
from app.desk.notifier.targets import Target, Webhook
from app.detector.model import SECOND
from app.errors import Fatal, Transient
from app.notices import Decide, Grouping, Kind, Outcome, Queued, Settled, Severity, Transition
from connectors.postgres.notices.letters import WebhookLetters
from connectors.postgres.notices.outbox import NoticeOutbox
from connectors.postgres.notices.queue import NoticeQueue
from tests.support.desk_database import migrated_database
from tests.support.services import Services
from tests.support.waiting import eventually
from tests.support.webhooks import BASE_US, RULE, mismatch

ENDPOINT = Webhook(SecretStr("https://example.org"), SecretStr("0123456789abcdef"))
AT_ONCE = Grouping(window_s=0)
WINDOW = Grouping(window_s=0.1, over=3, listed=2)
LONG = Grouping(window_s=600.0)


@pytest.fixture(name="dsn", scope="module")
def _dsn(services: Services) -> Iterator[SecretStr]:
    with migrated_database(services.database, "notice_outbox") as dsn:
        yield SecretStr(dsn)


class World:
    """An outbox with one target, `t`."""

    def __init__(self, dsn: SecretStr) -> None:
        self.dsn = dsn
        self.outbox, self.letters = NoticeOutbox(dsn), WebhookLetters(dsn)
        self.queue = NoticeQueue(dsn, "t")

    def decide(self, grouping: Grouping = AT_ONCE) -> Decide:
        return self.decider(grouping).decide

    def decider(self, grouping: Grouping = AT_ONCE) -> Decider:
        return Decider([Target("t", ENDPOINT, group=grouping)], {RULE: Limits(2, 100 * SECOND)})

    async def admit(self, *arrived: Transition, grouping: Grouping = AT_ONCE) -> int:
        return await self.outbox.admit(arrived, self.decide(grouping))

    async def due(self, most: int = 100) -> list[str]:
        return [each.id for each in await self.queue.due(most)]

    async def settle(self, outcome: Outcome, *ids: str, again_in_s: float = 0.0) -> None:
        await self.queue.settle([Settled(each, outcome, again_in_s, "HTTP 500") for each in ids])


@pytest.fixture(name="world")
async def _world(dsn: SecretStr) -> AsyncIterator[World]:
    connection = await asyncpg.connect(dsn.get_secret_value())
    await connection.execute(
        "truncate recon.notices, recon.notice_events, recon.notice_flapping, recon.dead_letters"
    )
    await connection.close()
    world = World(dsn)
    yield world
    for each in (world.outbox, world.letters, world.queue):
        await each.close()


def one(key: str, sequence: int = 0, kind: str = "opened", second: int | None = None) -> Transition:
    event = mismatch(key, sequence, kind, at_s=second)
    at_us = BASE_US + (sequence if second is None else second) * SECOND
    episode = event["data"]["episode"]
    return Transition(event["id"], Kind(kind), RULE, key, episode, Severity.CRITICAL, at_us, event)


def ids(transitions: Sequence[Transition]) -> list[str]:
    return [each.id for each in transitions]


async def test_a_transition_is_taken_in_once_whether_it_comes_twice_at_once_or_again(world: World) -> None:
    first, second = one("A"), one("A", 1, "updated")
    assert await world.admit(first, first, second) == 2
    assert await world.admit(first, second) == 0
    await world.settle(Outcome.DELIVERED, first.id)
    assert await world.admit(first) == 0
    assert await world.due() == [second.id]


async def test_two_that_take_the_same_in_at_once_keep_it_once(world: World) -> None:
    other = NoticeOutbox(world.dsn)
    many = [one(f"K{number}") for number in range(50)]
    try:
        counts = await asyncio.gather(
            *(outbox.admit(many, world.decide()) for outbox in (world.outbox, other) * 3)
        )
    finally:
        await other.close()
    assert sum(counts) == 50
    assert await world.due() == ids(many)


async def test_a_key_is_told_in_order_and_others_do_not_wait_for_it(world: World) -> None:
    a, b = [one("A"), one("A", 1, "updated")], [one("B"), one("B", 1, "updated")]
    await world.admit(a[0], b[0], a[1], b[1])
    assert await world.due() == [a[0].id, b[0].id]
    await world.settle(Outcome.RETRY, a[0].id, again_in_s=600.0)
    await world.settle(Outcome.DELIVERED, b[0].id)
    assert await world.due() == [b[1].id]
    await world.settle(Outcome.DEAD, a[0].id)
    assert await world.due() == [a[1].id, b[1].id]


async def test_what_is_tried_again_comes_when_its_time_has_come_and_counts(world: World) -> None:
    await world.admit(one("A"))
    await world.settle(Outcome.RETRY, one("A").id, again_in_s=0.05)
    (found,) = await eventually(lambda: world.queue.due(9), 5)  # type: ignore[misc]
    assert isinstance(found, Queued)
    assert found.attempts == 1


async def test_a_window_that_is_open_holds_and_a_quiet_one_lets_go_one_by_one(world: World) -> None:
    await world.admit(one("A"), one("B"), grouping=WINDOW)
    await world.queue.close_windows(LONG, group_notice)
    assert await world.due() == []

    async def let_go() -> bool:
        await world.queue.close_windows(WINDOW, group_notice)
        return await world.due() == ids([one("A"), one("B")])

    await eventually(let_go, 5)


async def test_a_burst_becomes_one_that_counts_all_and_lists_the_first(world: World) -> None:
    burst = [one(f"K{number}") for number in range(4)] + [one("K0", 1, "updated")]
    await world.admit(*burst, grouping=WINDOW)

    async def folded() -> Sequence[Queued]:
        await world.queue.close_windows(WINDOW, group_notice)
        return await world.queue.due(9)

    (group,) = await eventually(folded, 5)  # type: ignore[misc]
    for part in ('"count":5', '"keys":4', '"type":"drift.mismatch.opened"', '"type":"drift.notice.group"'):
        assert part in group.payload
    assert group.payload.count('"specversion"') == 3, "itself and the first two"
    assert (await world.queue.depth()).waiting == 1
    assert await world.admit(*burst) == 0


async def test_a_group_goes_behind_what_came_before_it_and_before_what_comes_after(world: World) -> None:
    before, after = one("A"), one("A", 9, "resolved")
    await world.admit(before)
    await world.admit(*[one(f"K{number}") for number in range(4)], grouping=WINDOW)

    async def is_folded() -> bool:
        await world.queue.close_windows(WINDOW, group_notice)
        return (await world.queue.depth()).waiting == 2

    await eventually(is_folded, 5)
    await world.admit(after, one("Z"))
    assert await world.due() == [before.id]
    await world.settle(Outcome.DELIVERED, before.id)
    (group,) = await world.due()
    assert group not in ids([after, one("Z")])
    await world.settle(Outcome.DELIVERED, group)
    assert await world.due() == ids([after, one("Z")])


async def test_what_was_given_up_is_listed_and_told_again_under_its_id(world: World) -> None:
    opened = one("A")
    await world.admit(opened)
    await world.settle(Outcome.DEAD, opened.id)
    (letter,) = await world.letters.list_letters()
    assert (letter.target, letter.notice, letter.rule, letter.reason) == ("t", opened.id, RULE, "HTTP 500")
    assert (await world.queue.depth()).dead == 1
    assert await world.letters.replay([letter.id]) == [letter.id]
    assert await world.letters.replay(None) == [], "it waits already"
    assert await world.due() == [opened.id]
    await world.settle(Outcome.DEAD, opened.id)
    (again,) = await world.letters.list_letters()
    assert (again.id, again.replayed_at) == (letter.id, None)
    assert await world.letters.resend([{"id": letter.id}]) == {}
    await world.settle(Outcome.DELIVERED, opened.id)
    assert await world.letters.list_letters() == []
    assert await world.letters.replay(None) == []


async def test_an_id_that_is_no_dead_letter_is_named_and_nothing_is_done(world: World) -> None:
    await world.admit(one("A"))
    await world.settle(Outcome.DEAD, one("A").id)
    (letter,) = await world.letters.list_letters()
    with pytest.raises(Fatal, match="nonsense"):
        await world.letters.replay([letter.id, "nonsense"])
    assert await world.due() == []


async def test_flaps_are_remembered_over_restarts(world: World) -> None:
    await world.admit(one("A"), one("A", 1, "resolved"), one("A", 2, "reopened"))
    another = World(world.dsn)
    await another.admit(one("A", 3, "resolved"), one("A", 4, "reopened"), one("A", 5, "updated"))
    await another.outbox.close()
    told = []
    while due := await world.due():
        told += due
        await world.settle(Outcome.DELIVERED, *due)
    assert told[:4] == ids([one("A"), one("A", 1), one("A", 2), one("A", 3)])
    assert len(told) == 5, "that it flaps, and nothing of what comes then"
    assert await world.outbox.calm(world.decider().decide_calm) == 1, "its time lies far back"
    assert len(await world.due()) == 1
    assert await world.outbox.calm(world.decider().decide_calm) == 0


async def test_one_process_at_a_time_tells_a_target_and_the_next_one_follows(world: World) -> None:
    standby = NoticeQueue(world.dsn, "t")
    try:
        assert await world.queue.hold()
        assert await world.queue.hold()
        assert not await standby.hold()
        await world.queue.close()
        await eventually(standby.hold, 5)
        assert not await world.queue.hold()
    finally:
        await standby.close()


async def test_a_long_key_and_a_target_that_is_gone_are_kept(world: World) -> None:
    long = one("x" * 10_000)
    await world.admit(long)
    assert await world.due() == [long.id]
    assert await world.outbox.count_strangers(["other"]) == {"t": 1}
    assert await world.outbox.count_strangers(["t"]) == {}


async def test_nothing_that_may_come_again_is_forgotten(world: World) -> None:
    await world.admit(one("A"))
    await world.settle(Outcome.DELIVERED, one("A").id)
    await world.outbox.forget()
    assert await world.admit(one("A")) == 0


async def test_a_database_that_is_away_is_trouble_that_passes_and_missing_tables_are_not(
    services: Services,
) -> None:
    away = NoticeOutbox(SecretStr("postgresql://postgres@127.0.0.1:1/postgres"))
    bare = NoticeOutbox(SecretStr(services.database))
    try:
        with pytest.raises(Transient):
            await away.forget()
        with pytest.raises(Fatal, match="driftwatch migrate"):
            await bare.forget()
    finally:
        await away.close()
        await bare.close()

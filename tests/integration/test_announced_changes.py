"""A group of its own reads `chain.events` of a real broker: from now on, and behind what it acknowledged."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from app.detector.model import EntryEvent, EntryRead, Input, Mark
from app.rules import load_rules
from app.settings import RULES_FOLDER, Settings
from connectors.kafka.announced import AnnouncedChanges
from connectors.soroban.codec import ChainCodec
from tests.support.kafka import Sender, create_topics, open_sender
from tests.support.services import Services
from tests.support.waiting import eventually

RULES = load_rules([RULES_FOLDER / "credit.yaml"], {"CREDIT_CONTRACT_ID": "C"})
CLOSED = "2026-08-01T10:00:05Z"


def mark(ledger: int) -> bytes:
    return orjson.dumps({"kind": "mark", "ledger": ledger, "closed_at": CLOSED, "from_ledger": ledger - 1})


def event(ledger: int) -> bytes:
    body = {"kind": "event", "contract": "C", "ledger": ledger, "closed_at": CLOSED, "id": f"{ledger}-0"}
    return orjson.dumps({**body, "entries": ["credit-line"]})


def gone(ledger: int) -> bytes:
    body = {"kind": "entry", "contract": "C", "entry": "credit-line", "exists": False, "read_ledger": ledger}
    return orjson.dumps({**body, "read_at": CLOSED, "modified_ledger": ledger, "event_id": f"{ledger}-0"})


def seen(taken: Iterable[tuple[int, Input]]) -> list[tuple[int, type[Input], int | None]]:
    return [
        (partition, type(each), each.ledger if isinstance(each, EntryEvent | Mark) else each.modified_ledger)
        for partition, each in taken
        if isinstance(each, EntryEvent | EntryRead | Mark)
    ]


async def take_all(changes: AnnouncedChanges) -> list[tuple[int, Input]]:
    """What comes until the mark of ledger 100."""
    found: list[tuple[int, Input]] = []

    async def is_complete() -> bool:
        found.extend(await changes.take(0.2))
        return any(isinstance(each, Mark) and each.ledger == 100 for _, each in found)

    await eventually(is_complete, within=20.0)
    return found


async def begin(changes: AnnouncedChanges, sender: Sender, topic: str) -> int:
    """The first ledger that a new group meets."""
    ledger = 1

    async def first() -> int | None:
        nonlocal ledger
        ledger += 1
        await sender.place([(topic, 0, None, mark(ledger))])
        taken = [each for _, each in await changes.take(0.2) if isinstance(each, Mark)]
        return taken[0].ledger if taken else None

    found = await eventually(first, within=20.0)
    assert isinstance(found, int)
    return found


async def test_it_begins_at_the_end_and_goes_on_behind_what_was_done(services: Services) -> None:
    settings = Settings(kafka=services.kafka, partitions=2, topic_prefix="announced.", app_id="announced")
    topic = settings.topic("chain.events")
    await create_topics(services.kafka, [topic], 2)
    async with open_sender(services.kafka, 2) as sender:
        await sender.place([(topic, 0, None, mark(1))])
        async with AnnouncedChanges(settings, ChainCodec(RULES)) as changes:
            assert await begin(changes, sender, topic) > 1, "what was there before is not its concern"
            await changes.done()
        told = [(topic, 1, b"GA", event(99)), (topic, 1, b"GA", b"{"), (topic, 1, b"GA", gone(99))]
        await sender.place([*told, (topic, 1, None, mark(100))])
        for is_done in (False, True):
            async with AnnouncedChanges(settings, ChainCodec(RULES)) as changes:
                taken = [each for each in seen(await take_all(changes)) if each[0] == 1]
                assert taken == [(1, EntryEvent, 99), (1, EntryRead, 99), (1, Mark, 100)]
                if is_done:
                    await changes.done()
        async with AnnouncedChanges(settings, ChainCodec(RULES)) as changes:
            assert await changes.take(1.0) == []

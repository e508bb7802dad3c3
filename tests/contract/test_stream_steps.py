"""Steps that a batch had no room for: taken between those of the batches, and given up with the partition."""

from __future__ import annotations

import asyncio

from tests.contract.test_faust_broker import app, tell
from tests.support.services import Services
from tests.support.stream_app import TallyApp
from tests.support.waiting import eventually

__all__ = ["app"]


async def test_what_a_step_had_no_room_for_follows_in_steps_of_its_own(
    app: TallyApp, services: Services
) -> None:
    await tell(app, services.kafka, 1, b"more 40")
    await eventually(lambda: app.rows().get(b"left") == b"0")
    await tell(app, services.kafka, 5)
    await eventually(lambda: len(app.absorbed()) == 6)

    assert app.failure.cause is None


async def test_batches_have_their_turn_meanwhile(app: TallyApp, services: Services) -> None:
    await tell(app, services.kafka, 1, b"more 1000000")
    await eventually(lambda: b"left" in app.rows())
    await tell(app, services.kafka, 3)
    await eventually(lambda: len(app.absorbed()) == 4)

    assert int(app.rows()[b"left"]) > 0
    await asyncio.wait_for(app.consumer.wait_empty(), 10)
    left = app.rows()[b"left"]
    await tell(app, services.kafka, 1)
    await eventually(lambda: len(app.absorbed()) == 5)
    assert app.rows()[b"left"] == left, "who gives its partitions up goes on with nothing"

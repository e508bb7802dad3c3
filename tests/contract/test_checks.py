"""What `driftwatch check` says of several nodes."""

from __future__ import annotations

from pydantic import SecretStr

from app.cli._checks import find_at_node
from app.clock import SystemClock
from app.native.child import free_port
from app.settings import Settings
from tests.support.worker import credit_rules


async def test_each_node_that_does_not_answer_is_a_finding_of_its_own() -> None:
    places = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
    settings = Settings(rpc_url=SecretStr(",".join(places)))

    found = await find_at_node(settings, credit_rules(), SystemClock())

    assert [one.stops for one in found] == [True, True]
    assert [place in one.subject for place, one in zip(places, found, strict=True)] == [True, True]

"""Several nodes as one client: rotation, circuits, wrong networks, credentials, the calls of a page."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import redirect_stderr
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from app import telemetry
from app.circuit import Breaker, Circuit, Endurance
from app.demo.rpc.config import NodeConfig
from app.demo.rpc.node import Node as SimulatedNode
from app.demo.rpc.server import Server
from app.errors import Fatal, Transient
from app.settings import Settings
from connectors.soroban.access import addresses_of, headers_of, open_nodes
from connectors.soroban.allowance import Purpose
from connectors.soroban.metrics import PollerMetrics
from connectors.soroban.nodes import Node, Nodes
from connectors.soroban.rpc import Refused, Rpc
from tests.support.chain_world import PASSPHRASE, World, running_world
from tests.support.simulator import close_empty
from tests.support.waiting import CLOCK, eventually


@pytest.fixture(name="world")
async def _world() -> AsyncIterator[World]:
    async with running_world(nodes=2) as world:
        for _ in range(5):
            world.close(1)
        yield world


@pytest.fixture(name="metrics")
def _metrics() -> PollerMetrics:
    return PollerMetrics()


@pytest.fixture(name="nodes")
async def _nodes(world: World, metrics: PollerMetrics) -> AsyncIterator[Nodes]:
    nodes = world.client(metrics)
    yield nodes
    await nodes.close()


def value(metrics: PollerMetrics, name: str, **labels: str) -> float:
    found = metrics.registry.get_sample_value(name, labels)
    return 0.0 if found is None else found


async def test_the_first_node_is_asked_while_it_answers(nodes: Nodes, world: World) -> None:
    for _ in range(5):
        await nodes.get_health()
    assert nodes.subject == world.servers[0].url


async def test_a_failure_is_the_caller_s_and_the_next_call_goes_elsewhere(
    nodes: Nodes, world: World, metrics: PollerMetrics
) -> None:
    await nodes.get_health()
    world.trouble({"kind": "503"})
    with pytest.raises(Transient):
        await nodes.get_health()
    await nodes.get_health()
    await nodes.get_health()
    assert nodes.subject == world.servers[1].url
    assert value(metrics, "driftwatch_rpc_rotations_total") == 1
    assert value(metrics, "driftwatch_rpc_node_failures_total", node=world.servers[0].url) == 1


async def test_a_circuit_opens_and_one_call_closes_it_again(world: World, metrics: PollerMetrics) -> None:
    url = world.servers[0].url
    breaker = Breaker(Endurance(rest_s=0.1))
    alone = Nodes([Node(url, Rpc(SecretStr(url), CLOCK), breaker=breaker)], PASSPHRASE, CLOCK, watch=metrics)
    world.trouble({"kind": "503", "times": 3})
    for _ in range(3):
        with pytest.raises(Transient, match="HTTP 503"):
            await alone.get_health()
    with pytest.raises(Transient, match="its circuit is open") as resting:
        await alone.get_health()
    assert 0 < (resting.value.retry_after_s or 0) <= 0.1
    assert value(metrics, "driftwatch_rpc_node_circuit", node=url, circuit="open") == 1
    await eventually(lambda: breaker.circuit(CLOCK.monotonic_s()) is Circuit.HALF_OPEN)
    await alone.get_health()
    assert value(metrics, "driftwatch_rpc_node_circuit", node=url, circuit="closed") == 1
    await alone.close()


async def test_retry_after_keeps_a_node_alone_and_another_answers_meanwhile(
    nodes: Nodes, world: World
) -> None:
    await nodes.get_health()
    world.trouble({"kind": "429", "retry_after": 0.09})
    with pytest.raises(Transient):
        await nodes.get_health()
    world.trouble({"kind": "503", "times": None}, node=1)
    with pytest.raises(Transient, match="HTTP 503"):
        await nodes.get_health()
    assert nodes.subject == world.servers[1].url


async def test_a_node_of_another_network_is_refused_by_name_at_the_start(world: World) -> None:
    other = SimulatedNode(NodeConfig(passphrase="another", max_latency_s=1e9), world.clock)
    close_empty(other, 1, 3)
    async with Server(other) as stranger:
        settings = Settings(
            rpc_url=SecretStr(f"{world.servers[0].url}, {stranger.url}"), network_passphrase=PASSPHRASE
        )
        nodes = open_nodes(settings, CLOCK, Purpose.TIP)
        with pytest.raises(Fatal, match="another") as refused:
            await nodes.check_passphrase(PASSPHRASE)
        assert stranger.url.rstrip("/") in str(refused.value)
        await nodes.close()


async def test_a_node_that_comes_to_serve_another_network_is_never_believed(world: World) -> None:
    other = SimulatedNode(NodeConfig(passphrase="another", max_latency_s=1e9), world.clock)
    close_empty(other, 1, 3)
    async with Server(other) as stranger:
        rpcs = [Rpc(SecretStr(url), CLOCK) for url in (stranger.url, world.servers[0].url)]
        nodes = Nodes([Node(rpc.subject, rpc) for rpc in rpcs], PASSPHRASE, CLOCK)
        with pytest.raises(Transient, match="another"):
            await nodes.get_health()
        assert (await nodes.get_health()).latest_ledger > 3
        await nodes.close()


async def test_one_node_that_is_down_does_not_stop_the_start(world: World) -> None:
    world.trouble({"kind": "503", "times": None})
    nodes = world.client()
    await nodes.check_passphrase(PASSPHRASE)
    world.trouble({"kind": "503", "times": None}, node=1)
    alone = world.client()
    with pytest.raises(Transient):
        await alone.check_passphrase(PASSPHRASE)
    await nodes.close()
    await alone.close()


async def test_a_request_that_a_node_refuses_is_told_and_opens_no_circuit(nodes: Nodes, world: World) -> None:
    for _ in range(5):
        with pytest.raises(Refused, match="filter 1 invalid"):
            await nodes.find_events([{"contractIds": ["nonsense"]}], 1000, 10)
    assert nodes.subject == world.servers[0].url


async def test_an_operator_may_allow_fewer_events_a_page(world: World) -> None:
    small = SimulatedNode(
        NodeConfig(passphrase=PASSPHRASE, max_latency_s=1e9, max_events=2, default_events=2), world.clock
    )
    small.ledgers = world.chain.node.ledgers
    async with Server(small) as server:
        rpc = Rpc(SecretStr(server.url), CLOCK)
        first = world.truth[0].ledger
        page = await rpc.get_events([world.contract], first, 1000)
        assert len(page.events) == 2
        assert len((await rpc.get_events([world.contract], page.cursor, 1000)).events) == 2
        await rpc.close()


async def test_the_rate_of_a_node_holds_back_calls(world: World, metrics: PollerMetrics) -> None:
    settings = Settings(rpc_url=SecretStr(world.servers[0].url), network_passphrase=PASSPHRASE, rpc_rate=20.0)
    nodes = open_nodes(settings, CLOCK, Purpose.TIP, watch=metrics)
    began_s = CLOCK.monotonic_s()
    for _ in range(25):
        await nodes.get_health()
    assert CLOCK.monotonic_s() - began_s >= 0.25
    assert value(metrics, "driftwatch_rpc_throttled_seconds_total") > 0
    await nodes.close()


# ---- credentials

KEY, TOKEN = "k3y-in-the-path", "t0ken-in-a-header"


async def test_headers_go_with_every_call_and_no_credential_is_ever_shown() -> None:
    got: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        got.append(request.headers.get("Authorization", "") + request.headers.get("X-Api-Key", ""))
        return web.Response(status=(401, 503, 200)[len(got) % 3], text="not today")

    application = web.Application()
    application.router.add_post("/{path:.*}", serve)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://{KEY}@127.0.0.1:{runner.addresses[0][1]}/{KEY}"
    settings = Settings(
        rpc_url=SecretStr(f"{address}, {address}"), rpc_headers=SecretStr(f"X-Api-Key: {TOKEN}; X-Other: b")
    )
    said = io.StringIO()
    metrics = PollerMetrics()
    with redirect_stderr(said):
        telemetry.configure_logging("DEBUG", as_json=True)
        nodes = open_nodes(settings, CLOCK, Purpose.TIP, metrics.request, metrics)
        for _ in range(8):
            said.write(await _failure(nodes))
    telemetry.configure_logging()
    await nodes.close()
    await runner.cleanup()
    shown = said.getvalue() + repr(settings) + _text_of(metrics)
    assert all(TOKEN in each for each in got)
    assert len(got) >= 3
    assert "127.0.0.1" in shown
    assert KEY not in shown
    assert TOKEN not in shown


async def _failure(nodes: Nodes) -> str:
    try:
        await nodes.get_health()
    except (Transient, Fatal) as error:
        return f"{error!r} {error} {error.__cause__!r} {error.__context__!r}\n"
    return ""


def _text_of(metrics: PollerMetrics) -> str:
    return "".join(str(sample) for found in metrics.registry.collect() for sample in found.samples)


@pytest.mark.parametrize("listed", ["", " , ", "one.example", "https://one.example, ftp://two", "http://:80"])
def test_addresses_that_are_none_are_refused_without_being_shown(listed: str) -> None:
    with pytest.raises(Fatal) as refused:
        addresses_of(SecretStr(listed))
    assert "two" not in str(refused.value).replace("two.example", "")


@pytest.mark.parametrize("listed", [f"no colon {TOKEN}", f"Bad Name: {TOKEN}", f"X: {TOKEN}\r\nY: b"])
def test_headers_that_are_none_are_refused_without_being_shown(listed: str) -> None:
    with pytest.raises(Fatal) as refused:
        headers_of(SecretStr(listed))
    assert TOKEN not in str(refused.value)


def test_headers_are_read_with_colons_in_their_values() -> None:
    found = headers_of(SecretStr(" Authorization: Basic a:b= ;X-Key:c; "))
    assert {name: held.get_secret_value() for name, held in found.items()} == {
        "Authorization": "Basic a:b=",
        "X-Key": "c",
    }


def test_two_addresses_of_one_host_have_two_names() -> None:
    settings = Settings(rpc_url=SecretStr("http://one.example/a,http://one.example/b"))
    nodes: Any = open_nodes(settings, CLOCK, Purpose.TIP)
    assert [node.name for node in nodes._nodes] == ["http://one.example", "http://one.example (2)"]

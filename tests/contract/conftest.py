"""A node on loopback with forty ledgers, and a poller upon it that writes to a shelf."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from connectors.soroban.poller import Poller
from connectors.soroban.rpc import Rpc
from tests.support.shelf import RestlessClock, Shelf, make_poller
from tests.support.soroban_node import Node, running_node


@pytest.fixture(name="node")
async def _node() -> AsyncIterator[Node]:
    async with running_node() as node:
        for _ in range(40):
            node.close()
        yield node


@pytest.fixture(name="shelf")
def _shelf() -> Shelf:
    return Shelf()


@pytest.fixture(name="clock")
def _clock() -> RestlessClock:
    return RestlessClock()


@pytest.fixture(name="rpc")
async def _rpc(node: Node, clock: RestlessClock) -> AsyncIterator[Rpc]:
    client = Rpc(SecretStr(node.url), clock)
    yield client
    await client.close()


@pytest.fixture(name="poll")
def _poll(rpc: Rpc, shelf: Shelf, clock: RestlessClock) -> Poller:
    return make_poller(rpc, shelf, clock)

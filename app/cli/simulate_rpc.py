"""`driftwatch simulate-rpc`: a Stellar RPC node that needs no network."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli._stopping import stop_on_signals
from app.demo.rpc.config import DEFAULT_NETWORK

if TYPE_CHECKING:
    from app.demo.rpc.config import NodeConfig


def register(commands: typer.Typer) -> None:
    """Add the command."""
    commands.command("simulate-rpc")(simulate_rpc)


def _seconds(text: str) -> float:
    from app.demo.rpc.config import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def simulate_rpc(
    host: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = 0,
    passphrase: Annotated[
        str, typer.Option("-passphrase", "--passphrase", help="Of the network.")
    ] = DEFAULT_NETWORK,
    protocol: Annotated[int, typer.Option("-protocol", "--protocol", min=1)] = 27,
    friendbot: Annotated[str, typer.Option("-friendbot", "--friendbot", metavar="URL")] = "",
    retention: Annotated[
        int, typer.Option("-retention", "--retention", min=1, help="Ledgers kept (7 days).")
    ] = 120_960,
    max_latency: Annotated[
        float,
        typer.Option(
            "-max-latency", "--max-latency", parser=_seconds, metavar="30s", help="Unhealthy after it."
        ),
    ] = "30s",  # type: ignore[assignment]
    max_events: Annotated[
        int, typer.Option("-max-events", "--max-events", min=1, help="In one page.")
    ] = 10_000,
    max_events_time: Annotated[
        float,
        typer.Option(
            "-max-events-time", "--max-events-time", parser=_seconds, metavar="10s", help="For getEvents."
        ),
    ] = "10s",  # type: ignore[assignment]
    max_request_time: Annotated[
        float,
        typer.Option(
            "-max-request-time", "--max-request-time", parser=_seconds, metavar="25s", help="For a request."
        ),
    ] = "25s",  # type: ignore[assignment]
    events_queue: Annotated[
        int, typer.Option("-events-queue", "--events-queue", min=1, help="Calls of getEvents at once.")
    ] = 1000,
    global_queue: Annotated[
        int, typer.Option("-global-queue", "--global-queue", min=1, help="Requests at once.")
    ] = 5000,
    credit: Annotated[
        bool, typer.Option("--credit", help="Run a small credit contract, a ledger every --ledger-seconds.")
    ] = False,
    ledger_seconds: Annotated[int, typer.Option("--ledger-seconds", min=1)] = 5,
) -> None:
    """Answer like stellar-rpc 28, over ledgers that POSTs to /_sim/close, /_sim/fill and /_sim/set steer.

    The first line on stdout is JSON and names the address: {"rpc": "http://…/"}; with --credit the contract
    too. Serves until SIGTERM or Ctrl-C.
    """
    from app.demo.rpc.config import NodeConfig

    config = NodeConfig(
        passphrase=passphrase,
        friendbot=friendbot,
        protocol=protocol,
        retention=retention,
        max_latency_s=max_latency,
        max_events=max_events,
        max_events_time_s=max_events_time,
        max_request_time_s=max_request_time,
        events_queue=events_queue,
        global_queue=global_queue,
    )
    asyncio.run(_serve(config, (host, port), ledger_seconds if credit else None))


async def _serve(config: NodeConfig, address: tuple[str, int], ledger_s: int | None) -> None:
    from app.clock import SystemClock
    from app.demo.chain import DemoChain, keep_changing
    from app.demo.rpc.node import Node
    from app.demo.rpc.server import Server

    stop = stop_on_signals()
    clock = SystemClock()
    if ledger_s is None:
        async with Server(Node(config, clock), *address) as server:
            _tell(rpc=server.url)
            await stop.wait()
        return
    async with DemoChain(config.passphrase, clock, config, address) as chain:
        changing = asyncio.create_task(keep_changing(chain, clock, ledger_s))
        _tell(rpc=chain.url, contract=chain.contract_id, passphrase=config.passphrase)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({changing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if changing.done():
            changing.result()
        changing.cancel()


def _tell(**named: str) -> None:
    import orjson

    typer.echo(orjson.dumps(named).decode())
    sys.stdout.flush()

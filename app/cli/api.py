"""`driftwatch api`: the admin API, its keys, its description, and the proof of its audit log."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cases import Role
from app.cli._stopping import stop_on_signals
from app.errors import Fatal

if TYPE_CHECKING:
    from app.cases import KeyRecord
    from app.rules import LoadedRule
    from app.settings import Settings


def register(commands: typer.Typer) -> None:
    """Add the command, and the commands below it."""
    group = typer.Typer(help="The admin API.", invoke_without_command=True)
    group.callback()(api)
    group.command("audit")(audit)
    keys = typer.Typer(help="Keys of the API.", no_args_is_help=True)
    keys.command("add")(add)
    keys.command("list")(list_keys)
    keys.command("revoke")(revoke)
    group.add_typer(keys, name="keys")
    commands.add_typer(group, name="api")


def api(
    context: typer.Context,
    openapi: Annotated[
        bool, typer.Option("--openapi", help="Print the OpenAPI document and end; no service is asked.")
    ] = False,
) -> None:
    """Serve the admin API until SIGTERM: reports, exceptions, sweeps on demand, how far each rule is judged.

    It needs a database that `driftwatch migrate` has prepared, and a key: DRIFTWATCH_API_KEY, or those of
    `driftwatch api keys`.
    """
    if context.invoked_subcommand is not None:
        return
    if openapi:
        from app.api.printing import print_description

        typer.echo(print_description(), nl=False)
        return
    from app.rules import load_rules
    from app.settings import load_settings
    from app.telemetry import configure_logging

    configure_logging()
    settings = load_settings()
    asyncio.run(_serve(settings, load_rules(settings.rules, os.environ)))


async def _serve(settings: Settings, rules: Sequence[LoadedRule]) -> None:
    from app.api.metrics import ApiMetrics
    from app.api.server import Readiness, listen, serve_until
    from app.clock import SystemClock
    from app.telemetry import get_logger, serve
    from app.wiring.api import open_api

    stop, clock, metrics, readiness = stop_on_signals(), SystemClock(), ApiMetrics(), Readiness()
    with listen(settings.api_host, settings.api_port) as bound:
        where = "{}:{}".format(*bound.getsockname()[:2])
        async with open_api(settings, rules, clock, metrics) as (app, records):
            endpoint = await serve(
                metrics.registry,
                settings.metrics_address("api_metrics"),
                is_ready=lambda: readiness.reason,
            )
            get_logger(__name__).info("Listening", event_name="api_listening", address=where)
            watching = asyncio.create_task(readiness.watch(records, metrics, clock, stop))
            try:
                await serve_until(app, bound, stop)
            finally:
                stop.set()
                await watching
                await endpoint.close()


def audit() -> None:
    """Compute every hash of the audit log anew. Exit code 1 where a line was changed, taken out or put in."""
    from app.wiring.api import open_keys

    async def check() -> Any:
        async with open_keys(_settings()) as keys:
            return await keys.check_audit()

    found = asyncio.run(check())
    if found.broken_at is not None:
        typer.echo(f"the audit log is not what was written: line {found.broken_at}", err=True)
        raise typer.Exit(1)
    last = f", the last has the hash {found.last_hash}" if found.lines else ""
    before = f" after {found.forgotten} that were deleted (DRIFTWATCH_RETAIN)" if found.forgotten else ""
    typer.echo(f"{found.lines} lines{before}, the chain is whole{last}")


def add(
    name: Annotated[str, typer.Argument(help="Whose key it is; it stands in the audit log.")],
    role: Annotated[Role, typer.Option(help="What it may do; an approver no more than an operator yet.")],
    rule: Annotated[
        list[str] | None, typer.Option(help="A rule that it may see; several times for more (default: all).")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="90d", help="From now on (default: never); 12h, 90d.")
    ] = None,
) -> None:
    """Make a key, and print it once: only its hash is kept."""
    from app.api.bodies import RULE_ID
    from app.api.keys import BOOTSTRAP, make_key
    from app.cases import Scope, to_time
    from app.clock import SystemClock
    from app.detector.model import SECOND
    from app.wiring.api import open_keys

    shown = name.strip()
    if not shown or len(shown) > 100 or not shown.isprintable() or shown == BOOTSTRAP:
        raise Fatal(
            "adding a key", repr(name), "this is no name for it", "say who will use it, in 100 letters"
        )
    wrong = [each for each in rule or () if not re.fullmatch(RULE_ID, each)]
    if wrong:
        raise Fatal(
            "adding a key", ", ".join(wrong), "this is no id of a rule", "say it as the rule's file does"
        )
    now = SystemClock().now_us()
    until = None if expires is None else to_time(now + int(_seconds(expires) * SECOND))
    scope = Scope(None if not rule else frozenset(rule))
    made = make_key(shown, role, scope, to_time(now), until)

    async def keep() -> None:
        async with open_keys(_settings()) as keys:
            await keys.add(made.record, _who())

    asyncio.run(keep())
    typer.echo(made.text)
    typer.echo("this is shown once; X-API-Key carries it", err=True)


def list_keys() -> None:
    """Show all keys there ever were, never the keys themselves."""
    from app.wiring.api import open_keys

    async def read() -> Any:
        async with open_keys(_settings()) as keys:
            return await keys.list()

    for key in asyncio.run(read()):
        typer.echo(_line(key))


def revoke(name: Annotated[str, typer.Argument(help="The key's name or id.")]) -> None:
    """Let a key open nothing from now on."""
    from app.cases import to_time
    from app.clock import SystemClock
    from app.wiring.api import open_keys

    async def end() -> None:
        async with open_keys(_settings()) as keys:
            await keys.revoke(name, _who(), to_time(SystemClock().now_us()))

    asyncio.run(end())
    typer.echo(f"{name}: revoked")


def _line(key: KeyRecord) -> str:
    from app.cases import to_time
    from app.clock import SystemClock

    rules = "every rule" if key.scope.rules is None else ", ".join(sorted(key.scope.rules))
    state = key.why_refused(to_time(SystemClock().now_us())) or "good"
    until = "" if key.expires_at is None else f", until {key.expires_at:%Y-%m-%dT%H:%M:%SZ}"
    return f"{key.id}  {key.name}: {key.role} of {rules}, {state}{until}"


def _seconds(text: str) -> float:
    from app.cli.demo import parse_duration

    units = {"d": 86_400.0, "h": 3600.0}
    factor = units.get(text.strip()[-1:])
    seconds = parse_duration(text if factor is None else text.strip()[:-1]) * (factor or 1.0)
    if seconds <= 0:
        raise Fatal("adding a key", f"--expires {text}", "it would never be good", "say 12h or 90d")
    return seconds


def _settings() -> Settings:
    from app import telemetry
    from app.settings import load_settings

    telemetry.configure_logging("WARNING")
    return load_settings()


def _who() -> str:
    """Who stands in the audit log for an act at the command line."""
    import getpass

    try:
        return f"{getpass.getuser()} (command line)"
    except (KeyError, OSError):
        return "command line"

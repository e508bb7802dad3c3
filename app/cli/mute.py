"""`driftwatch mute`: let the drift of a rule, or of one key, be judged and counted, and not told, for a
while."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from app.errors import Fatal

_LONGEST_S = 7 * 86_400.0


def register(commands: typer.Typer) -> None:
    """Add the command."""
    commands.command("mute")(mute)


def mute(
    rule: Annotated[str, typer.Argument(help="Id of a rule.")],
    duration: Annotated[str, typer.Option("--for", metavar="30m", help="From now on; at most 7 days.")],
    reason: Annotated[str, typer.Option(help="Why; it stands in the records.")],
    key: Annotated[str | None, typer.Option(help="Only this key (default: every key).")] = None,
) -> None:
    """Mute a rule: from now on (event time) its episodes resolve as `exempted` and none opens.

    It ends by itself; drift that is still there then opens with the mute's end as its beginning.
    """
    from app import telemetry
    from app.cli.demo import parse_duration

    telemetry.configure_logging("WARNING")
    seconds = parse_duration(duration)
    if not 0 < seconds <= _LONGEST_S:
        raise Fatal("muting", rule, f"--for {duration}", "say more than 0 and at most 7 days, such as 30m")
    if not reason.strip():
        raise Fatal("muting", rule, "--reason is empty", "say why, for those who wonder later")
    typer.echo(asyncio.run(_mute(rule, key, seconds, reason.strip())))


async def _mute(rule: str, key: str | None, seconds: float, reason: str) -> str:
    import os

    from app.cli._rules import choose
    from app.clock import SystemClock
    from app.detector.model import SECOND, Mute
    from app.detector.values import format_time
    from app.rules import load_rules
    from app.settings import load_settings
    from connectors.kafka.controls import tell_every_partition
    from connectors.kafka.observations import encode_mute

    settings = load_settings()
    choose(load_rules(settings.rules, os.environ), [rule], "muting")
    now = SystemClock().now_us()
    until = now + int(seconds * SECOND)
    await tell_every_partition(settings, encode_mute(Mute(rule, key, now, until, reason)))
    return f"{rule}{'' if key is None else ' ' + key}: muted until {format_time(until)}"

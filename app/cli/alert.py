"""`driftwatch alert`: try the targets of webhooks, and see to what could not be told."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from app.errors import Fatal

if TYPE_CHECKING:
    from app.desk.notifier.targets import Target
    from app.notices import Answer, Letter

_JSON = typer.Option("--json", help="One JSON object a line.")


def register(commands: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        help="Try the targets of webhooks, and see to what could not be told.", no_args_is_help=True
    )
    group.command("test")(try_targets)
    group.command("dead-letters")(dead_letters)
    group.command("replay")(replay)
    commands.add_typer(group, name="alert")


def try_targets(
    target: Annotated[list[str] | None, typer.Option(help="Only this target (may be repeated).")] = None,
) -> None:
    """Send a signed message that says it is a test to each target, once, and print what came of it.

    Exit code 1 where one of them did not take it.
    """
    from app.desk.notifier.patience import is_delivered
    from app.settings import load_settings
    from app.telemetry import configure_logging
    from app.wiring.notifier import read_targets

    configure_logging("WARNING")
    targets, _ = read_targets(load_settings(), os.environ)
    chosen = _choose(targets, target or [])
    answers = asyncio.run(_probe(chosen))
    for each, answer in zip(chosen, answers, strict=True):
        typer.echo(f"{'ok    ' if is_delivered(answer) else 'FAILED'}  {each.name}  {_in_words(answer)}")
    if not all(is_delivered(answer) for answer in answers):
        raise typer.Exit(1)


def dead_letters(as_json: Annotated[bool, _JSON] = False) -> None:
    """List what was given up and not told since, oldest first."""
    from app.settings import load_settings
    from app.telemetry import configure_logging
    from app.wiring.notifier import open_letters

    configure_logging("WARNING")

    async def read() -> Sequence[Letter]:
        async with open_letters(load_settings()) as letters:
            return await letters.list_letters()

    found = asyncio.run(read())
    for letter in found:
        typer.echo(_as_json(letter) if as_json else _as_line(letter))
    if not found and not as_json:
        typer.echo("no dead letters")


def replay(
    ids: Annotated[list[str] | None, typer.Argument(help="Ids that `alert dead-letters` shows.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
) -> None:
    """Let dead letters be told again, under the ids that they had, by the notifier that runs."""
    from app.settings import load_settings
    from app.telemetry import configure_logging
    from app.wiring.notifier import open_letters

    configure_logging("WARNING")
    if bool(ids) == every:
        raise Fatal("replaying", "dead letters", "say which", "ids, or --all")

    async def send() -> Sequence[str]:
        async with open_letters(load_settings()) as letters:
            return await letters.replay(None if every else ids)

    again = asyncio.run(send())
    typer.echo(f"{len(again)} will be told again" if again else "none of them waits to be told again")


def _choose(targets: Sequence[Target], names: Sequence[str]) -> list[Target]:
    known = {target.name: target for target in targets}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise Fatal("trying", ", ".join(unknown), "no such target", f"there are {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)] if names else list(targets)


async def _probe(targets: Sequence[Target]) -> Sequence[Answer]:
    from app.clock import SystemClock
    from app.desk.notifier.messages import probe_message
    from app.wiring.notifier import open_channels

    clock = SystemClock()
    async with open_channels(targets, clock) as channels:
        return await asyncio.gather(
            *(channels[each.name].send(probe_message(each.name, clock.now_us())) for each in targets)
        )


def _in_words(answer: Answer) -> str:
    from app.desk.notifier.patience import describe

    return describe(answer)


def _as_json(letter: Letter) -> str:
    from dataclasses import asdict

    return json.dumps(asdict(letter))


def _as_line(letter: Letter) -> str:
    again = "" if letter.replayed_at is None else f"  (waits to be told again since {letter.replayed_at})"
    return (
        f"{letter.id}  {letter.created_at}  {letter.target}  {letter.rule}  {letter.reason}"
        f"  ({letter.attempts} attempts){again}"
    )

"""`driftwatch rules apply`: another version of a rule judges from one event time on, in every partition."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.errors import Fatal

if TYPE_CHECKING:
    from app.detector.model import Activation
    from app.settings import Settings

_FOLLOW_S = 300.0


def apply(
    file: Annotated[
        Path | None, typer.Argument(help="The rule file with the next version; without any, say --retire.")
    ] = None,
    retire: Annotated[
        str | None,
        typer.Option("--retire", metavar="RULE", help="End a rule instead: id of a rule in force."),
    ] = None,
    delay: Annotated[
        str, typer.Option("--in", metavar="10s", help="Effective so long after now: ahead of all marks.")
    ] = "10s",
    follow: Annotated[
        bool, typer.Option("--follow", help="Wait until the version judges in every partition.")
    ] = False,
) -> None:
    """Up to an event time ahead of all marks the present version judges, from then on this one.

    Drift that is open then resolves as `rule_changed`; what still differs opens again under the new version.
    What the new version has not read yet is unknown until the sweep that is asked for, so restart the other
    processes with the new file, and the worker when it suits you: it takes the version from the topic.
    """
    from app import telemetry

    telemetry.configure_logging("WARNING")
    if (file is None) == (retire is None):
        raise Fatal("applying", "a rule", "give a rule file, or --retire RULE")
    typer.echo(asyncio.run(_apply(file, retire, delay, follow=follow)))


async def _apply(file: Path | None, retire: str | None, delay: str, *, follow: bool) -> str:
    from app.cli.demo import parse_duration
    from app.clock import SystemClock
    from app.detector.model import SECOND
    from app.detector.values import format_time
    from app.settings import load_settings
    from connectors.kafka.controls import tell_every_partition
    from connectors.kafka.observations import encode_activation

    settings, clock = load_settings(), SystemClock()
    seconds = parse_duration(delay)
    if not 1 <= seconds <= 86_400:
        raise Fatal("applying", str(file or retire), f"--in {delay}", "say 1s to 24h: ahead of all marks")
    in_force = await _in_force(settings)
    asked = _asked(file, retire, in_force, clock.now_us() + round(seconds * SECOND))
    await tell_every_partition(settings, encode_activation(asked))
    at = format_time(asked.effective)
    if follow:
        await _follow(settings, asked, clock)
    if asked.document is None:
        return f"{asked.rule}: ends at {at}; take its file out of DRIFTWATCH_RULES then"
    return (
        f"{asked.rule}: version {asked.version} judges from {at} on; start connect, poller and sweeper again "
        f"with {asked.path}, and `driftwatch sweep {asked.rule}` once they run"
    )


def _asked(
    file: Path | None, retire: str | None, in_force: Mapping[str, Mapping[str, Any]], effective: int
) -> Activation:
    import os

    from app.detector.model import Activation
    from app.rules import load_rules

    if file is None:
        rule_id = retire or ""
        status = in_force.get(rule_id)
        if status is None:
            known = ", ".join(sorted(in_force)) or "none"
            raise Fatal("retiring", rule_id, "no worker judges it", f"rules in force: {known}")
        return Activation(rule_id, int(status["rule_version"]), str(status["rule_digest"]), effective, None)
    [loaded] = load_rules([file], os.environ)
    rule, status = loaded.rule, in_force.get(loaded.rule.id)
    if status is None:
        raise Fatal(
            "applying", str(file), f"no worker judges {rule.id} yet", "add the file to DRIFTWATCH_RULES"
        )
    if status["rule_digest"] == loaded.digest:
        raise Fatal("applying", str(file), f"it says what version {status['rule_version']} in force says")
    if rule.version <= status["rule_version"]:
        hint = f"say version: {status['rule_version'] + 1} in the file"
        raise Fatal("applying", str(file), f"version {status['rule_version']} is in force", hint)
    return Activation(rule.id, rule.version, loaded.digest, effective, loaded.document, loaded.path)


async def _in_force(settings: Settings) -> dict[str, dict[str, Any]]:
    """By rule, the status of the partition whose version is the highest."""
    import orjson

    from connectors.kafka.reading import read_all
    from schemas.topics import STATUS

    newest: dict[bytes, bytes | None] = {}
    async for record in read_all(settings.kafka, settings.topic(STATUS), settings.partitions):
        if record.key is not None and record.key.startswith(b"status|"):
            newest[record.key] = record.value
    found: dict[str, dict[str, Any]] = {}
    for value in newest.values():
        status = {} if value is None else orjson.loads(value)
        if "rule_version" in status:
            best = found.setdefault(status["rule"], status)
            if status["rule_version"] > best["rule_version"]:
                found[status["rule"]] = status
    return found


async def _follow(settings: Settings, asked: Activation, clock: Any) -> None:
    deadline = clock.monotonic_s() + _FOLLOW_S
    while clock.monotonic_s() < deadline:
        if await _has_taken_over(settings, asked):
            return
        await clock.sleep(1.0)
    raise Fatal("applying", asked.rule, f"not in force everywhere after {_FOLLOW_S:g} s", "do workers run?")


async def _has_taken_over(settings: Settings, asked: Activation) -> bool:
    import orjson

    from connectors.kafka.reading import read_all
    from schemas.topics import STATUS

    found: dict[bytes, str] = {}
    async for record in read_all(settings.kafka, settings.topic(STATUS), settings.partitions):
        if record.key is not None and record.key.startswith(f"status|{asked.rule}|".encode()):
            found[record.key] = "" if record.value is None else orjson.loads(record.value).get("rule_digest")
    return len(found) == settings.partitions and set(found.values()) == {asked.digest}

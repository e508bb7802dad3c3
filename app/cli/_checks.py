"""Everything that must be right before driftwatch runs, looked at once and told as findings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from itertools import chain

from app.clock import Clock
from app.detector.model import SECOND
from app.errors import DriftwatchError
from app.ports import Finding
from app.rules import LoadedRule
from app.settings import Settings
from connectors.debezium.capture import captured_tables
from connectors.debezium.database import Names, open_source
from connectors.kafka.topics import find_topic_problems
from connectors.soroban.access import nodes_in
from connectors.soroban.rpc import Rpc


async def find_all(settings: Settings, rules: Sequence[LoadedRule], clock: Clock) -> list[Finding]:
    """Findings of broker, database and node, each looked at whatever the others say."""
    looks: list[tuple[str, Awaitable[list[Finding]]]] = [
        ("kafka", find_in_kafka(settings)),
        ("database", find_in_database(settings, rules, clock)),
        ("rpc", find_at_node(settings, rules, clock)),
    ]
    return list(chain.from_iterable(await asyncio.gather(*(_guarded(name, look) for name, look in looks))))


async def _guarded(subject: str, look: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        return await look
    except DriftwatchError as error:
        return [Finding(subject, False, f"{error.operation} {error.subject}: {error.cause}", error.hint)]


async def find_in_kafka(settings: Settings) -> list[Finding]:
    """The broker answers; topics are there with the configured partitions (missing ones are made)."""
    problems = await find_topic_problems(settings)
    missing = [problem for problem in problems if problem.endswith("is missing")]
    differing = [problem for problem in problems if problem not in missing]
    found = [Finding("kafka", True, settings.kafka)]
    if differing:
        remedy = "set DRIFTWATCH_PARTITIONS to what the topics have"
        found.append(Finding("topics", False, "; ".join(differing), remedy))
    elif missing:
        remedy = "nothing: they are made at the first start"
        found.append(Finding("topics", False, f"{len(missing)} are missing", remedy, is_advice=True))
    else:
        found.append(Finding("topics", True, f"all there, {settings.partitions} partitions each"))
    return found


async def find_in_database(settings: Settings, rules: Sequence[LoadedRule], clock: Clock) -> list[Finding]:
    """The database answers; what the capture needs is there; its clock is near ours."""
    tables = captured_tables(rules, settings.source)
    names = Names(settings.slot, settings.publication)
    async with open_source(settings.database.get_secret_value(), names) as database:
        found = [Finding("database", True, "it answers"), *await database.find(tables)]
        offset_ms = await database.clock_offset_ms(clock.now_us())
    return [*found, judge_offset("database clock", offset_ms, rules)]


async def find_at_node(settings: Settings, rules: Sequence[LoadedRule], clock: Clock) -> list[Finding]:
    """Each node answers, serves the configured network, and has a ledger of the last minute."""
    found: list[Finding] = []
    for rpc in nodes_in(settings, clock):
        found += await _guarded(f"rpc {rpc.subject}", _find_one(settings, rules, clock, rpc))
    return found


async def _find_one(settings: Settings, rules: Sequence[LoadedRule], clock: Clock, rpc: Rpc) -> list[Finding]:
    try:
        health = await rpc.get_health()
        found = [
            Finding("rpc", True, f"{rpc.subject}, ledgers {health.oldest_ledger} to {health.latest_ledger}")
        ]
        found.append(await _find_network(rpc, settings.network_passphrase))
    finally:
        await rpc.close()
    closed_s = health.latest_ledger_close_time
    if closed_s is None:
        detail = "the node tells no close times"
        return [*found, Finding("ledger clock", False, detail, "stellar-rpc 23 or newer is needed", True)]
    age_s = clock.now_us() / SECOND - closed_s
    remedy = "is the node in sync, and are both clocks set (NTP)?"
    skew_s = min(loaded.rule.window.skew_us for loaded in rules) / SECOND
    is_right = -skew_s <= age_s <= 60
    return [*found, Finding("ledger clock", is_right, f"the latest ledger closed {age_s:.1f} s ago", remedy)]


async def _find_network(rpc: Rpc, passphrase: str) -> Finding:
    try:
        await rpc.check_passphrase(passphrase)
    except DriftwatchError as error:
        return Finding("network passphrase", False, str(error.cause), error.hint)
    return Finding("network passphrase", True, passphrase)


def judge_offset(subject: str, offset_ms: float, rules: Sequence[LoadedRule]) -> Finding:
    """Clocks further apart than the smallest `skew` of the rules would make verdicts wrong."""
    skew_ms = min(loaded.rule.window.skew_us for loaded in rules) / 1000
    detail = f"{offset_ms:+.1f} ms against ours, skew allows {skew_ms:g} ms"
    return Finding(subject, abs(offset_ms) <= skew_ms, detail, "set the clocks (NTP), or raise window.skew")

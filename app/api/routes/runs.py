"""Runs: asked for, running, over; and whether all is well by the last one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path

from app.api.bodies import (
    EXAMPLE_ID,
    Accepted,
    AskedRun,
    Health,
    Report,
    ReportPage,
    RuleHealth,
    RuleRuns,
    RunOrder,
    RunsStatus,
    RunSummary,
    Trigger,
)
from app.api.keys import Caller
from app.api.paging import Reports, cut
from app.api.parts import ApiParts, Operating, Parts, Viewing
from app.api.problems import Kind, Refusal, not_found
from app.api.routes.describing import READING, WRITING, answers

RunId = Annotated[str, Path(pattern="^[A-Za-z0-9._-]{1,128}$", description="of a run", examples=[EXAMPLE_ID])]
Condition = Literal["healthy", "drifting", "failing", "unknown"]
OVER: Final = ("done", "failed")
_WORST: Final[tuple[Condition, ...]] = ("failing", "drifting", "unknown", "healthy")


def register(public: APIRouter, admin: APIRouter) -> None:
    """Add the routes."""
    asking = answers(*WRITING, Kind.NOT_FOUND, status=202)
    public.post("/trigger", summary="Ask for a sweep", **asking)(trigger)
    public.get("/status", summary="What runs, and what ran last", **answers(*READING))(read_status)
    public.get("/health", summary="The latest run of each rule", **answers(*READING))(read_health)
    admin.post("/run", summary="Ask for a sweep", **asking)(run)
    admin.get("/reports", summary="Runs, the newest first", **answers(*READING, Kind.INVALID))(list_reports)
    one = answers(*READING, Kind.NOT_FOUND, Kind.INVALID)
    admin.get("/reports/{id}", summary="One run", **one)(read_report)


async def trigger(parts: Parts, caller: Operating, order: Trigger) -> Accepted:
    """The run is the sweeper's; `GET /api/admin/reconciliation/reports/{run}` shows it once it has begun. A
    request while one waits becomes one with it (`merged`)."""
    return await ask(parts, caller, order.rule)


async def run(parts: Parts, caller: Operating, order: RunOrder) -> Accepted:
    """The same as `POST /api/reconciliation/trigger`."""
    return await ask(parts, caller, order.rule)


async def ask(parts: ApiParts, caller: Caller, rule: str | None) -> Accepted:
    """Ask for a sweep of one rule, or of every rule that the caller may see."""
    rules = [one for one in parts.seen_by(caller) if rule in (None, one)]
    if not rules:
        raise not_found("rule")
    wait_s = parts.triggers.take(caller.id)
    if wait_s is not None:
        parts.guards.metrics.limited.labels("triggers").inc()
        raise Refusal(Kind.TOO_MANY, "this key asks for sweeps too often", wait_s)
    await parts.record(caller, "sweep", ",".join(rules), {"rules": rules})
    runs = await parts.sweeps.ask(rules)
    return Accepted(runs=[AskedRun(rule=one, run=runs[one]) for one in rules])


async def read_status(parts: Parts, caller: Viewing) -> RunsStatus:
    """Of each rule the sweep that is not over, and the newest that is."""
    running, latest = await _newest(parts, caller)
    rules = [
        RuleRuns(rule=rule, running=running.get(rule), latest=latest.get(rule))
        for rule in sorted({*parts.seen_by(caller), *running, *latest})
    ]
    return RunsStatus(is_running=bool(running), rules=rules)


async def read_health(parts: Parts, caller: Viewing) -> Health:
    """By the newest sweep of each rule that is over. What is open this moment stands in
    `GET /api/admin/reconciliation/status`."""
    _, latest = await _newest(parts, caller)
    rules = [
        RuleHealth(rule=rule, status=condition(latest.get(rule)), latest_run=latest.get(rule))
        for rule in sorted({*parts.seen_by(caller), *latest})
    ]
    found = {rule.status for rule in rules}
    return Health(status=next((word for word in _WORST if word in found), "unknown"), rules=rules)


def condition(latest: RunSummary | None) -> Condition:
    """What a run says of its rule. One that failed by the drift that it saw (`fail_run_on`) has read
    everything."""
    if latest is None:
        return "unknown"
    if latest.errors or (latest.state == "failed" and not latest.drifting):
        return "failing"
    return "drifting" if latest.drifting else "healthy"


async def _newest(
    parts: ApiParts, caller: Caller
) -> tuple[Mapping[str, RunSummary], Mapping[str, RunSummary]]:
    rows = [RunSummary.model_validate(row) for row in await parts.records.latest_runs(caller.scope)]
    running = {row.rule: row for row in rows if row.state not in OVER}
    return running, {row.rule: row for row in rows if row.state in OVER}


async def list_reports(parts: Parts, caller: Viewing, query: Reports) -> ReportPage:
    """Sweeps and seeds."""
    page = query.page()
    rows = await parts.records.list_runs(query.wanted(caller.scope), page)
    shown, behind = cut(rows, page, "started_at", "run")
    return ReportPage(items=[RunSummary.model_validate(row) for row in shown], next=behind)


async def read_report(parts: Parts, caller: Viewing, id: RunId) -> Report:
    """A run that was asked for just now is not there before the sweeper has taken it up."""
    row = await parts.records.find_run(caller.scope, id)
    if row is None:
        raise not_found("run")
    found: dict[str, Any] = {**row, "record": row["value"]}
    return Report.model_validate(found)

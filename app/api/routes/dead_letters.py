"""Dead letters: what was given up, and sending it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

from fastapi import APIRouter

from app.api.bodies import DeadLetter, DeadLetterPage, Replay, Replayed, ReplayResult
from app.api.paging import DeadLetters, cut
from app.api.parts import ApiParts, Operating, Parts, Viewing
from app.api.problems import Kind, Refusal, not_found
from app.api.routes.describing import READING, WRITING, answers
from app.cases import Row, to_time

RUN: Final = "run"
"""The kind of a sweep that failed for good: replayed by asking for another one."""


def register(admin: APIRouter) -> None:
    """Add the routes."""
    listing = answers(*READING, Kind.INVALID)
    admin.get("/dead-letters", summary="What was given up, the newest first", **listing)(list_letters)
    writing = answers(*WRITING, Kind.NOT_FOUND, Kind.CONFLICT)
    admin.post("/dead-letters/replay", summary="Try it again", **writing)(replay)


async def list_letters(parts: Parts, caller: Viewing, query: DeadLetters) -> DeadLetterPage:
    """Those of no rule are shown to keys of every rule only."""
    page = query.page()
    rows = await parts.records.list_dead_letters(query.wanted(caller.scope), page)
    shown, behind = cut(rows, page, "created_at", "id")
    return DeadLetterPage(items=[DeadLetter.model_validate(row) for row in shown], next=behind)


async def replay(parts: Parts, caller: Operating, order: Replay) -> ReplayResult:
    """All of them or, where one is not there (404) or resolved already (409), none. A run is asked for anew,
    a webhook is told again under its id, a record goes back to where it came from as it was; what cannot be
    sent again is refused with its reason."""
    ids = list(dict.fromkeys(order.ids))
    letters = {str(row["id"]): row for row in await parts.records.find_dead_letters(caller.scope, ids)}
    if len(letters) < len(ids):
        raise not_found("dead letter")
    if any(row["resolved_at"] is not None for row in letters.values()):
        raise Refusal(Kind.CONFLICT, "one of them is resolved already")
    await parts.record(caller, "replay", ",".join(ids), {"ids": ids})
    runs = await _ask_runs(parts, letters)
    refused = await _resend(parts, [row for one, row in letters.items() if one not in runs])
    asked = [one for one in ids if one not in refused]
    await parts.records.mark_replayed(asked, to_time(parts.clock.now_us()))
    return ReplayResult(
        items=[
            Replayed(id=one, outcome="refused", reason=refused[one])
            if one in refused
            else Replayed(id=one, outcome="asked", run=runs.get(one))
            for one in ids
        ]
    )


async def _ask_runs(parts: ApiParts, letters: Mapping[str, Row]) -> Mapping[str, str]:
    """The run of each letter: one sweep a rule."""
    rules = {
        one: str(row["rule"])
        for one, row in letters.items()
        if row["kind"] == RUN and row["rule"] in parts.rules
    }
    if not rules:
        return {}
    runs = await parts.sweeps.ask(sorted(set(rules.values())))
    return {one: runs[rule] for one, rule in rules.items()}


async def _resend(parts: ApiParts, letters: Sequence[Row]) -> Mapping[str, str]:
    """Why some are not sent again, by id."""
    refused: dict[str, str] = {}
    for kind, rows in groupby(sorted(letters, key=_kind), key=_kind):
        batch = list(rows)
        if kind in parts.resending:
            refused |= await parts.resending[kind].resend(batch)
        else:
            refused |= {str(row["id"]): _nobody(row) for row in batch}
    return refused


def _kind(row: Row) -> str:
    return str(row["kind"])


def _nobody(row: Row) -> str:
    if row["kind"] == RUN:
        return f"rule {row['rule']} is not among DRIFTWATCH_RULES of this process"
    return f"nobody here sends the kind {row['kind']} again"

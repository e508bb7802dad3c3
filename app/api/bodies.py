"""What the API takes and gives: the bodies of requests and answers, as the OpenAPI document has them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

RULE_ID: Final = "^[a-z0-9-]{1,64}$"
DERIVED_ID: Final = "^[0-9a-f]{32}$"
NO_NUL: Final = r"^[^\x00]*$"
"""PostgreSQL's text holds anything else."""

EXAMPLE_ID: Final = "069cd56c6a4b3959acc7938e633a0425"
"""Stands for any id in the description."""

RuleId = Annotated[str, StringConstraints(pattern=RULE_ID)]
Scalar = str | int | bool | None


class _Request(BaseModel):
    """Unknown fields are refused: they are mistakes. `false` is no number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Answer(BaseModel):
    """Fields that a record has beside these are left out."""

    model_config = ConfigDict(frozen=True)


# ---- requests


class Trigger(_Request):
    """Which rule to sweep."""

    rule: RuleId | None = Field(default=None, description="without it: every rule that the key may see")


class RunOrder(Trigger):
    """Which rule to sweep, and that a person wants it."""

    run_type: Literal["manual"]


def _whole(value: object) -> object:
    """JSON Schema takes 7.0 for an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Resolve(_Request):
    """That a person has dealt with an exception."""

    resolved_by: Annotated[
        str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")
    ] = Field(description="who")
    notes: Annotated[str, StringConstraints(max_length=4000, pattern=NO_NUL)] = Field(
        default="", description="what was done"
    )
    sequence: Annotated[int, Field(ge=0, le=2**31 - 1), BeforeValidator(_whole)] | None = Field(
        default=None, description="the transition that was looked at: 409 where there has been another since"
    )


class Replay(_Request):
    """Which dead letters to send again."""

    ids: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[\x21-\x7e]+$")]],
        Field(min_length=1, max_length=100, examples=[[EXAMPLE_ID]]),
    ]


# ---- answers


class AskedRun(_Answer):
    """A run that was asked for; its report is there once the sweeper has taken it up."""

    rule: str
    run: str


class Accepted(_Answer):
    """The runs that were asked for."""

    runs: list[AskedRun]


class RunSummary(_Answer):
    """A run: a sweep or a seed of one rule. `in_sync` to `errors` add up to `checked`."""

    rule: str
    run: str
    kind: str
    state: str = Field(description="waiting, running, paused, done, failed or merged")
    started_at: datetime | None
    finished_at: datetime | None
    checked: int
    in_sync: int
    drifting: int
    in_flight: int
    exempt: int
    unverifiable: int
    repaired: int
    errors: int
    attempts: int | None = None


class Report(RunSummary):
    """A run with all that it said of itself."""

    record: dict[str, Any] | None = Field(description="the last record of the run on drift.status")


class ReportPage(_Answer):
    """Runs, the newest first. `next`: the cursor of the next page, null at the end."""

    items: list[RunSummary]
    next: str | None


class RuleRuns(_Answer):
    """A rule's newest run that is over, and the one that is not, if any."""

    rule: str
    running: RunSummary | None
    latest: RunSummary | None


class RunsStatus(_Answer):
    """Every rule with its runs. `is_running`: a run of any of them is not over."""

    is_running: bool
    rules: list[RuleRuns]


class RuleHealth(_Answer):
    """`healthy`: the latest run is done and found nothing open; `drifting`: it found drift, and may have
    failed by it; `failing`: it failed otherwise or could not read something; `unknown`: none is over yet."""

    rule: str
    status: Literal["healthy", "drifting", "failing", "unknown"]
    latest_run: RunSummary | None


class Health(_Answer):
    """The worst of the rules, and each."""

    status: Literal["healthy", "drifting", "failing", "unknown"]
    rules: list[RuleHealth]


class Alive(_Answer):
    """The process answers."""

    status: Literal["alive"] = "alive"


class PartitionStatus(_Answer):
    """How far a rule has been judged in one partition."""

    partition: int
    state: str
    cause: str | None
    verified_through: datetime | None
    updated_at: datetime | None


class RuleStatus(_Answer):
    """How a rule stands. `verified_through`: everything up to it is judged, in every partition; null where
    one has not said. `lag_seconds`: now less that. `state`: the worst of the partitions'. `open`: drift that
    is open, by severity; `unresolved`: that of it which nobody has resolved by hand."""

    rule: str
    state: str = Field(description="live, catching_up, unverifiable, blind, parked, or unknown")
    cause: str | None
    verified_through: datetime | None
    lag_seconds: float | None
    open: dict[str, int]
    unresolved: dict[str, int]
    partitions: list[PartitionStatus]


class Standings(_Answer):
    """How every rule stands."""

    rules: list[RuleStatus]


class Difference(_Answer):
    """One field that differs. `left`: the database; `right`: the chain."""

    field: str
    left: Scalar = None
    right: Scalar = None
    difference: str | None = None
    severity: str
    since: datetime | None = None


class ResolutionBody(_Answer):
    """What a person said. `is_current`: false once the drift has come back."""

    resolved_by: str
    notes: str
    resolved_at: datetime
    actor: str = Field(description="the name of the key that was used")
    is_current: bool


class ExceptionSummary(_Answer):
    """One episode of drift. `status`: `open`; `resolved` once evidence has closed it; `resolved_by_hand` from
    a person's word on, until the episode's next transition."""

    id: str
    rule: str
    rule_version: int
    key: str
    severity: str
    status: Literal["open", "resolved_by_hand", "resolved"]
    sequence: int = Field(description="of its last transition")
    since: datetime | None
    created_at: datetime
    resolved_at: datetime | None = Field(description="by evidence or by hand; null while it is open")
    cause: str | None
    flaps: int
    linked: str | None
    confirmed: str | None
    differences: list[Difference]
    resolution: ResolutionBody | None
    updated_at: datetime | None


class ExceptionDetail(ExceptionSummary):
    """With the trace to the database's transaction and the ledger."""

    trace: dict[str, Any] | None


class ExceptionPage(_Answer):
    """Exceptions, the newest first. `next`: the cursor of the next page, null at the end."""

    items: list[ExceptionSummary]
    next: str | None


class Transition(_Answer):
    """One transition of an episode, as it was published."""

    id: str
    episode: str
    sequence: int
    transition: str
    severity: str
    at: datetime
    confirmed: str | None
    value: dict[str, Any]


class KeyHistory(_Answer):
    """All that is kept of one key: its episodes, the newest first, and their transitions in order; at most
    the last 1,000 of each."""

    rule: str
    key: str
    episodes: list[ExceptionSummary]
    transitions: list[Transition]


class DeadLetter(_Answer):
    """Something that was given up after its attempts."""

    id: str
    kind: str
    rule: str | None
    reference: str | None
    reason: str | None
    payload: Any
    attempts: int | None
    created_at: datetime
    replayed_at: datetime | None
    resolved_at: datetime | None


class DeadLetterPage(_Answer):
    """Dead letters, the newest first. `next`: the cursor of the next page, null at the end."""

    items: list[DeadLetter]
    next: str | None


class Replayed(_Answer):
    """What became of one dead letter. `asked`: it is sent again; `refused`: it is not, `reason` says why and
    what to do."""

    id: str
    outcome: Literal["asked", "refused"]
    run: str | None = None
    reason: str | None = Field(default=None, description="why it was refused, and what to do instead")


class ReplayResult(_Answer):
    """In the order of the request, without repetitions."""

    items: list[Replayed]


def exception_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """The record of an exception with what a person said of it in one place."""
    found = dict(row)
    if row["work_by"] is None:
        found["resolution"] = None
    else:
        found["resolution"] = {
            "resolved_by": row["work_by"],
            "notes": row["work_notes"],
            "resolved_at": row["work_at"],
            "actor": row["work_actor"],
            "is_current": row["status"] == "resolved_by_hand",
        }
    return found

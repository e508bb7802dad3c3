"""What the routes work with, and who may use them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader

from app.api.envelope import KEY_HEADER, Guards
from app.api.keys import Caller
from app.api.limits import TokenBuckets
from app.api.ports import Records, Resending, Sweeps
from app.api.problems import Kind, Refusal
from app.cases import Act, Role, Row, to_time
from app.clock import Clock


@dataclass(frozen=True, slots=True)
class ApiParts:
    """`rules`: the ids of the configured rules. `partitions`: of every topic. `resending`: by the kind of
    dead letter; runs are asked of `sweeps`. `triggers`: how often a key may ask for sweeps."""

    records: Records
    sweeps: Sweeps
    resending: Mapping[str, Resending]
    rules: tuple[str, ...]
    partitions: int
    triggers: TokenBuckets
    guards: Guards

    @property
    def clock(self) -> Clock:
        return self.guards.clock

    def seen_by(self, caller: Caller) -> list[str]:
        """The configured rules that a caller may see."""
        return [rule for rule in self.rules if caller.scope.covers(rule)]

    async def record(self, caller: Caller, what: str, subject: str, detail: Row) -> None:
        """A line in the audit log."""
        await self.records.record(Act(caller.name, what, subject, to_time(self.clock.now_us()), detail))


async def _parts(request: Request) -> ApiParts:
    parts: ApiParts = request.app.state.parts
    return parts


Parts = Annotated[ApiParts, Depends(_parts)]

_SCHEME: Final = APIKeyHeader(
    name=KEY_HEADER,
    scheme_name="key",
    auto_error=False,
    description="`driftwatch api keys add NAME --role viewer|operator|approver [--rule RULE]`",
)


def _require(role: Role) -> Callable[[Request, str | None], Awaitable[Caller]]:
    async def permit(request: Request, _: Annotated[str | None, Security(_SCHEME)]) -> Caller:
        caller: Caller = request.state.caller
        if not caller.role.covers(role):
            raise Refusal(Kind.FORBIDDEN, f"this needs the role {role}, the key has {caller.role}")
        return caller

    return permit


Viewing = Annotated[Caller, Depends(_require(Role.VIEWER))]
Operating = Annotated[Caller, Depends(_require(Role.OPERATOR))]

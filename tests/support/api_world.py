"""The API over records in memory, with a key for each role and one for one rule only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from app.api.building import build_api
from app.api.envelope import Guards
from app.api.keys import Doorkeeper, make_key
from app.api.limits import TokenBuckets
from app.api.memory import MemoryRecords, MemorySweeps
from app.api.metrics import ApiMetrics
from app.api.parts import ApiParts
from app.cases import Role, Row, Scope, to_time
from tests.support.asgi import Answer, ask
from tests.support.desk_rows import CREDIT, ESCROW
from tests.support.sweeping import HandClock

Body = bytes | Iterable[bytes] | Mapping[str, object]


class Postman:
    """Keeps what it was asked to send again. `refuses`: why not, by id."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.refuses: dict[str, str] = {}

    async def resend(self, letters: Sequence[Row]) -> Mapping[str, str]:
        ids = [str(row["id"]) for row in letters]
        self.sent += [one for one in ids if one not in self.refuses]
        return {one: self.refuses[one] for one in ids if one in self.refuses}


class ApiWorld:
    """`rate`, `triggers`: requests and sweeps a second of one key; 0: no limit."""

    def __init__(
        self, rate: float = 0, triggers: float = 0, *, records: Any = None, sweeps: Any = None
    ) -> None:
        self.clock, self.metrics = HandClock(), ApiMetrics()
        self.memory, self.sweeps, self.postman = MemoryRecords(), MemorySweeps(), Postman()
        keeper = self.memory if records is None else records
        guards = Guards(
            Doorkeeper(keeper, "the bootstrap key"),
            TokenBuckets(rate, 2 * rate, self.clock),
            1000,
            self.clock,
            self.metrics,
        )
        parts = ApiParts(
            records=keeper,
            sweeps=self.sweeps if sweeps is None else sweeps,
            resending={"webhook": self.postman},
            rules=(CREDIT, ESCROW),
            partitions=2,
            triggers=TokenBuckets(triggers, 1, self.clock),
            guards=guards,
        )
        self.app = build_api(parts)
        self.keys = {role.value: self.make(role.value, role) for role in Role}
        self.keys["escrow"] = self.make("escrow", Role.OPERATOR, ESCROW)
        self.keys["bootstrap"] = "the bootstrap key"

    def make(self, name: str, role: Role, *rules: str, days: float | None = None) -> str:
        """A key's text; its record is kept."""
        now = self.clock.now_us()
        until = None if days is None else to_time(now + int(days * 86_400_000_000))
        scope = Scope(frozenset(rules) if rules else None)
        made = make_key(name, role, scope, to_time(now), until)
        self.memory.keys[made.record.id] = made.record
        return made.text

    async def ask(
        self, target: str, method: str = "GET", key: str | None = "operator", body: Body = b"", **headers: str
    ) -> Answer:
        """Ask as the holder of a key (its name here, or its text); None: without."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            given["X-API-Key"] = self.keys.get(key, key)
        sent = orjson.dumps(body) if isinstance(body, Mapping) else body
        return await ask(self.app, target, method, body=sent, headers=given)

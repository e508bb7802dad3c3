"""What a demo may be about: the protocols between its running and scoring, which are the same for every
system, and the worlds, which are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Protocol, Self

import asyncpg

from app.clock import Clock
from app.demo.lines import History
from app.demo.rpc.config import NodeConfig
from app.demo.steps import Step
from app.demo.truth import Violation, Window


class Planted(Protocol):
    """A drift that is planted at a time. `is_from_before`: it was there before driftwatch was; `is_drift`
    False: nothing may be told of it."""

    at_s: float
    planted_us: int | None

    @property
    def kind(self) -> str: ...
    @property
    def subject(self) -> Any: ...
    @property
    def is_from_before(self) -> bool: ...
    @property
    def is_drift(self) -> bool: ...


class Subject(Protocol):
    """One key: both sides as they really were. `line`: what its application intends now, ahead of both;
    None before it is born. `leads`: the row is written first, and the contract follows."""

    index: int
    leads: bool
    busy: bool
    line: Any
    rows: History[Any]
    entries: History[Any]

    @property
    def key(self) -> str: ...
    @property
    def plan(self) -> Planted | None: ...

    def violations(self, window: Window) -> list[Violation]:
        """When its sides really disagreed."""
        ...


class Shape(Protocol):
    """How big and how busy a world is."""

    @property
    def seed(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def changes_per_s(self) -> int: ...
    @property
    def window(self) -> Window: ...


class World(Protocol):
    """All that is random in a demo. `noun`: what its keys are, in the plural. `birth_of` and `change_of` give
    what a contract will hold, and the event that tells of it; `row_of` what a good application writes."""

    @property
    def noun(self) -> str: ...
    @property
    def shape(self) -> Any: ...
    @property
    def random(self) -> Random: ...
    @property
    def subjects(self) -> Sequence[Any]: ...
    @property
    def plants(self) -> Sequence[Any]: ...
    @property
    def kinds(self) -> Sequence[str]: ...
    @property
    def unborn(self) -> Sequence[Any]: ...
    @property
    def live(self) -> list[Any]: ...

    def birth_of(self, subject: Any) -> tuple[Any, str]: ...
    def draw_subject(self) -> Any: ...
    def change_of(self, line: Any) -> tuple[Any, str] | None: ...
    def row_of(self, line: Any) -> Any: ...
    def draw_delay_us(self) -> int: ...


class Contract(Protocol):
    """The contracts on the demo's network: what is written takes effect when the ledger closes."""

    def write(self, key: str, line: Any, event: str | None) -> None: ...

    def close(self, at_us: int) -> int: ...


class Chain(Contract, Protocol):
    """The network itself, served while it is entered."""

    @property
    def url(self) -> str: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exception: object) -> None: ...


class Table(Protocol):
    """How the state of a key's rows is written; each is one transaction, and its time (µs) that of the
    database just before it committed."""

    async def write(self, connection: asyncpg.Connection, subject: Any, row: Any) -> int: ...
    async def touch(self, connection: asyncpg.Connection, subject: Any) -> None: ...


class Scenario(Protocol):
    """A system that a demo reconciles. `prepare`: tables and network as they were before driftwatch came;
    `steps_of`: all that a plant does to both sides, its healing included."""

    @property
    def world(self) -> World: ...
    @property
    def table(self) -> Table: ...

    def steps_of(self, plant: Any, ledger_us: int) -> Sequence[Step]: ...

    async def prepare(self, connection: asyncpg.Connection, chain: Any, now_us: int) -> None: ...


class Setting(Protocol):
    """What of the demo's surroundings a system needs: its shipped rule with what the demo changes in it, and
    its network. `contracts`: the environment that names the contracts."""

    @property
    def rule_file(self) -> str: ...

    def change_rule(self, rule: dict[str, Any]) -> None: ...
    def open_chain(self, passphrase: str, clock: Clock, config: NodeConfig) -> Chain: ...
    def contracts(self, chain: Any) -> Mapping[str, str]: ...

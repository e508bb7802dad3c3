"""The systems that `driftwatch demo --system` knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from app.demo.credit import CreditScenario, CreditSetting
from app.demo.credit_contract import borrower_address
from app.demo.escrow.scenario import EscrowScenario, EscrowSetting
from app.demo.escrow.world import EscrowWorld
from app.demo.scenario import Scenario, Setting
from app.demo.world import World, WorldShape
from app.errors import Fatal


@dataclass(frozen=True, slots=True)
class Kind:
    """A system: how its scenario is made, and how big and busy it usually is."""

    scenario: Callable[[WorldShape], Scenario]
    setting: Setting
    keys: int
    rate: int
    planted_of_each: int


def _credit(shape: WorldShape) -> Scenario:
    addresses = [borrower_address(shape.seed, index) for index in range(shape.borrowers)]
    return CreditScenario(World(shape, addresses))


def _escrow(shape: WorldShape) -> Scenario:
    return EscrowScenario(EscrowWorld(shape))


KINDS: Final[Mapping[str, Kind]] = {
    "credit": Kind(_credit, CreditSetting(), keys=2400, rate=260, planted_of_each=8),
    "escrow": Kind(_escrow, EscrowSetting(), keys=1200, rate=120, planted_of_each=5),
}


def find_kind(name: str) -> Kind:
    """The system of this name. Raises `Fatal` with the names that there are."""
    found = KINDS.get(name)
    if found is None:
        raise Fatal("choosing", f"system {name}", "there is none of that name", ", ".join(KINDS))
    return found

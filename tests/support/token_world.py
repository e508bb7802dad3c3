"""A simulated token contract: balances, the events of transfers, a ledger at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stellar_sdk import StrKey, scval

from app.demo.rpc.config import NodeConfig
from app.demo.rpc.control import hash_of
from app.demo.rpc.cursors import position_of
from app.demo.rpc.ledgers import Change, Event, Ledger
from app.demo.rpc.node import Node
from connectors.soroban import keys
from tests.support.chain_world import LEDGER_US, PASSPHRASE, LedgerClock
from tests.support.simulator import SECOND_US
from tests.support.wasm import stored

TOKEN = StrKey.encode_contract(b"token contract of the test world"[:32])
EXAMPLE = Path(__file__).parents[2] / "app" / "rules" / "examples" / "token-balance"


def holder(number: int) -> str:
    return StrKey.encode_ed25519_public_key(bytes(31) + bytes([number]))


class TokenWorld:
    """`set_balance` queues, `close` makes it so. `clock` stands at the last ledger's close."""

    def __init__(self, clock: LedgerClock | None = None) -> None:
        self.clock = clock or LedgerClock()
        self.node = Node(NodeConfig(passphrase=PASSPHRASE, max_latency_s=1e9), self.clock)
        self.ledger = 100
        self._changes: list[Change] = []
        self._events: list[tuple[str, ...]] = []

    def set_balance(self, who: str, amount: int, *, as_map: bool = False) -> None:
        """A bare i128, or the map of a Stellar asset."""
        value = scval.to_int128(amount)
        if as_map:
            parts = {"amount": value, "authorized": scval.to_bool(True), "clawback": scval.to_bool(False)}
            value = scval.to_struct(parts)
        self._changes.append(stored(TOKEN, keys.variant("Balance", keys.address_value(who)), value))

    def put(self, *changes: Change) -> None:
        """Other entries."""
        self._changes += changes

    def tell(self, name: str, *who: str) -> None:
        """An event with addresses among its topics."""
        self._events.append((name, *who))

    def close(self) -> int:
        self.ledger += 1
        self.clock.at_us += LEDGER_US
        events = [self._event(order, *told) for order, told in enumerate(self._events, 1)]
        closed_s = self.clock.at_us // SECOND_US
        ledger = Ledger(self.ledger, closed_s, hash_of(str(self.ledger)), events, tuple(self._changes))
        self.node.ledgers.append(ledger)
        self._changes, self._events = [], []
        return self.ledger

    def _event(self, order: int, name: str, *who: str) -> Event:
        topics = (scval.to_symbol(name).to_xdr(), *(scval.to_address(each).to_xdr() for each in who))
        place, data = position_of(self.ledger, order), scval.to_int128(1).to_xdr()
        return Event(place, "contract", TOKEN, topics, data, hash_of(f"{self.ledger} {order}"))


def environment(**more: str) -> Mapping[str, str]:
    """What the example's rule needs."""
    return {"TOKEN_CONTRACT_ID": TOKEN, "STELLAR_NETWORK_PASSPHRASE": PASSPHRASE, **more}

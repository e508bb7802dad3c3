"""What a test or a person tells a node over `/_sim/`: ledgers to close, empty ones to fill in, troubles."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.demo.rpc.cursors import AFTER_ALL, AFTER_TRANSACTION, Position, position_of
from app.demo.rpc.ledgers import Change, Event, Ledger
from app.demo.rpc.node import Node, Replica
from app.demo.rpc.scripted import read_script


def close(node: Node, ledgers: list[dict[str, Any]]) -> None:
    """Close ledgers as written: `seq`, `closeTime`, `hash`, `txs`, `entries`."""
    for each in ledgers:
        node.ledgers.append(read_ledger(each))


def fill(node: Node, asked: dict[str, Any]) -> None:
    """Close `count` empty ledgers from number `from` on, `step` seconds apart."""
    for place in range(asked["count"]):
        number = asked["from"] + place
        closed_at = asked["closeTime"] + place * asked["step"]
        node.ledgers.append(Ledger(number, closed_at, hash_of(f"ledger {number}")))


def set_trouble(node: Node, asked: dict[str, Any]) -> None:
    """Set or clear troubles; what is not named stays. `faults` replaces the script of faults to come,
    `replicas` the nodes behind this address; `reset` lets the network begin anew."""
    names = {"eventSleepMs": "event_sleep_ms", "coreStatus": "core_status", "coreSleepMs": "core_sleep_ms"}
    for name, field in names.items():
        if name in asked:
            setattr(node.trouble, field, int(asked[name]))
    if "replicas" in asked:
        node.trouble.replicas = tuple(Replica(**each) for each in asked["replicas"])
    if asked.get("reset"):
        node.reset()
    if "faults" in asked:
        node.script = read_script(asked["faults"])


def read_ledger(written: dict[str, Any]) -> Ledger:
    """A ledger with its events at their positions: fees before all transactions, then operation by operation,
    what follows each transaction, and refunds after all of them."""
    number = written["seq"]
    events: list[Event] = []
    before = after = 0
    for order, tx in enumerate(written.get("txs") or (), 1):
        makes = _Making(tx.get("hash") or hash_of(f"transaction {number} {order}"), tx.get("ok", True))
        events += makes.events(tx.get("beforeAllTxs"), position_of(number, 0, 0, before))
        before += len(tx.get("beforeAllTxs") or ())
        for operation, happened in enumerate(tx.get("ops") or ()):
            events += makes.events(happened, position_of(number, order, operation))
        events += makes.events(tx.get("afterTx"), position_of(number, order, AFTER_TRANSACTION))
        events += makes.events(tx.get("afterAllTxs"), position_of(number, AFTER_ALL, 0, after))
        after += len(tx.get("afterAllTxs") or ())
    events.sort(key=lambda event: event.position)
    changes = tuple(_read_change(each) for each in written.get("entries") or ())
    return Ledger(
        number, written["closeTime"], written.get("hash") or hash_of(f"ledger {number}"), events, changes
    )


def hash_of(text: str) -> str:
    """A hash that is the same in every run."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Making:
    tx_hash: str
    succeeded: bool

    def events(self, written: list[dict[str, Any]] | None, first: Position) -> Iterator[Event]:
        for place, each in enumerate(written or ()):
            yield Event(
                Position(first.toid, first.number + place),
                each["type"],
                each.get("contract") or "",
                tuple(each["topics"]),
                each["data"],
                self.tx_hash,
                self.succeeded,
            )


def _read_change(written: dict[str, Any]) -> Change:
    archived = written.get("state") == "archived"
    return Change(written["key"], written.get("data"), written.get("liveUntil"), archived)

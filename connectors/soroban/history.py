"""Whether a node still tells the history that was followed: close times that cannot be, events that are
missing. A network that began anew under its old passphrase is found so, without asking for whole ledgers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from app.errors import DriftwatchError, Transient
from app.telemetry import get_logger
from connectors.soroban.answers import Event, Health, OutOfRange, Page
from connectors.soroban.cursor import Anchor, Cursor, Witness, ledger_of
from connectors.soroban.rpc import NodeApi, OverTime, Refused, filters_of
from connectors.soroban.times import SECOND, CloseTimes, micros_of

log = get_logger(__name__)

_EVERYTHING: Final = ()
"""No filters: the first event of a ledger, whoever's it is."""


def _is_of_operation(event_id: str) -> bool:
    """Its place stays the same where a newer server counts fees and refunds otherwise."""
    toid = int(event_id.partition("-")[0])
    return 0 < toid >> 12 & 0xFFFFF < 0xFFFFF and toid & 0xFFF < 0xFFF


class AnotherHistory(DriftwatchError):
    """What the node tells cannot belong to the history that was followed, and closed later than all of it:
    the network began anew."""


class History:
    """The close times of one epoch. Everything that a node tells goes through here before it is believed."""

    def __init__(self, rpc: NodeApi) -> None:
        self._rpc = rpc
        self.times = CloseTimes()
        self._witness: Witness | None = None
        self._is_unproven = False

    def resume(self, cursor: Cursor) -> None:
        """Begin with what was known when the cursor was written, and nothing else."""
        self.times = CloseTimes()
        self._witness = cursor.witness
        if cursor.anchor is not None:
            self.times.learn(cursor.anchor.ledger, cursor.anchor.closed_at)

    def take_health(self, health: Health) -> None:
        """Believe an answer of getHealth; raises as `learn` does."""
        told = [
            (health.latest_ledger, health.latest_ledger_close_time),
            (health.oldest_ledger, health.oldest_ledger_close_time),
        ]
        self.learn([(ledger, at * SECOND) for ledger, at in told if at])

    def take_page(self, page: Page) -> None:
        """Believe a page's bounds and the times of its events; raises as `learn` does."""
        told = [(event.ledger, micros_of(event.ledger_closed_at)) for event in page.events]
        if page.latest_ledger_close_time:
            told.append((page.latest_ledger, page.latest_ledger_close_time * SECOND))
        if page.oldest_ledger is not None and page.oldest_ledger_close_time:
            told.append((page.oldest_ledger, page.oldest_ledger_close_time * SECOND))
        self.learn(told)

    def learn(self, told: Iterable[tuple[int, int]]) -> None:
        """Remember close times, µs. Raises `AnotherHistory` for what contradicts them and is newer than all
        that is known, and `Transient` for what contradicts them and is older: a node that was left behind,
        which is turned away."""
        told = list(told)
        wrong = next((each for each in told if self.times.contradict(*each)), None)
        if wrong is not None:
            newest = self.times.newest()
            cause = f"ledger {wrong[0]} closed at another time than the ledgers around it allow"
            if newest is not None and max(at for _, at in told) <= newest[1]:
                subject = self._rpc.subject
                self._rpc.turn_away("it was left behind in an older history")
                raise Transient("reading the history of", subject, f"it is an older one: {cause}")
            raise AnotherHistory("reading the history of", self._rpc.subject, cause)
        for ledger, at in told:
            self.times.learn(ledger, at)

    def anchored(self, following: Cursor, events: Iterable[Event]) -> Cursor:
        """The cursor with the newest proofs up to its place."""
        for event in events:
            if event.contract_id and _is_of_operation(event.id):
                self._witness = Witness(event.id, event.tx_hash, event.contract_id)
        known = self.times.floor(following.ledger)
        anchor = None if known is None else Anchor(*known)
        return Cursor(following.position, following.ledger, following.epoch, anchor, self._witness)

    async def prove(self, cursor: Cursor) -> None:
        """Ask the node for what the cursor remembers: when its anchor closed, and the transaction of its
        witness. Two calls of one event each; what has left the node's window, and what the node refuses to
        be asked, proves nothing.

        Raises `AnotherHistory` and what the node's calls raise.
        """
        try:
            if cursor.anchor is not None:
                await self._prove_anchor(cursor.anchor)
            if cursor.witness is not None:
                await self._prove_witness(cursor.witness)
        except OutOfRange:
            return
        except (OverTime, Refused) as error:
            if not self._is_unproven:
                log.warning(
                    "The node does not prove its history", event_name="chain_unproven", reason=str(error)
                )
            self._is_unproven = True

    async def _prove_anchor(self, anchor: Anchor) -> None:
        page = await self._rpc.find_events(_EVERYTHING, anchor.ledger, 1, anchor.ledger + 1)
        self.take_page(page)
        if page.events or self._is_bound(page, anchor):
            return
        found = await self._rpc.get_ledger(anchor.ledger)
        if found is not None:
            self.learn([(anchor.ledger, found.ledger_close_time * SECOND)])

    @staticmethod
    def _is_bound(page: Page, anchor: Anchor) -> bool:
        bounds = [(page.latest_ledger, page.latest_ledger_close_time)]
        bounds += [(page.oldest_ledger or -1, page.oldest_ledger_close_time)]
        return any(ledger == anchor.ledger and at for ledger, at in bounds)

    async def _prove_witness(self, witness: Witness) -> None:
        ledger = ledger_of(witness.id)
        page = await self._rpc.find_events(filters_of([witness.contract]), witness.before, 1)
        if page.oldest_ledger is not None and ledger <= page.oldest_ledger:
            return
        first = page.events[0] if page.events else None
        if first is None or (first.id, first.tx_hash) != (witness.id, witness.tx):
            cause = f"event {witness.id} is not there any more, or of another transaction"
            raise AnotherHistory("reading the history of", self._rpc.subject, cause)

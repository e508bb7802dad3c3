"""What observations do to the right side of a key: events open versions, reads fill them and check them."""

from __future__ import annotations

from typing import NamedTuple

from app.detector.left import CONFIRMED, INCONCLUSIVE, Count, Settled
from app.detector.model import ABSENT, INFINITY, UNKNOWN, EntryAsOf, EntryEvent, EntryRead
from app.detector.timeline import RightState, Version
from app.detector.watermark import Watermark


def apply_event(right: RightState, event: EntryEvent, watermark: Watermark, count: Count) -> int | None:
    """A version of unknown value begins at the event's close time; its time, or None where nothing new
    begins.

    Of two events of a ledger the greatest id is the trace.
    """
    versions = right.versions
    if event.ledger <= right.position:
        newest = versions[-1]
        if event.ledger == newest.position and newest.trace is not None:
            held = newest.trace[1]
            if isinstance(held, str) and held < event.event_id:
                versions[-1] = newest._replace(trace=(event.tx, event.event_id))
                count("coalesced")
                return newest.at
        count("seen")
        return None
    at = max(event.at, versions[-1].at, watermark.at + 1)
    if at != event.at:
        count("late")
    right.position = event.ledger
    if versions[-1].at == at:
        versions.pop()
    versions.append(Version(at, event.ledger, UNKNOWN, (event.tx, event.event_id)))
    return at


class ReadOutcome(NamedTuple):
    """What a read did. `at`: the time from which the timeline changed, None where it did not. `waits`: what
    has to wait for a mark. `is_lost`: it proves lost input."""

    at: int | None
    waits: EntryAsOf | None
    is_lost: bool


def apply_read(right: RightState, read: EntryRead, watermark: Watermark, count: Count) -> ReadOutcome:
    """Fill every unknown piece with modified <= beginning <= read.

    A change that no event has told of yet waits: its event may come until the mark of its ledger, and after
    that it is proven unannounced. So is, at once, one older than the newest event. An absence speaks of the
    newest version by its ledger only, and waits for that ledger's mark: an entry does not tell when it was
    removed, and until then another event may. A read that has nothing to fill is stale.
    """
    newest, modified = right.versions[-1], read.modified_ledger
    is_exact = read.value != ABSENT or read.read_ledger == modified
    if (
        newest.position == modified <= right.position
        and newest.value == UNKNOWN
        and newest.trace
        and is_exact
    ):
        return _fill_newest(right, read)
    if modified < 0 or (read.value == ABSENT and modified <= right.position):
        modified = _newest_position(right, read.read_ledger)
    statement = EntryAsOf(
        read.rule,
        read.key,
        read.value,
        modified,
        read.modified_at if is_exact else None,
        read.read_ledger,
        read.read_at,
    )
    if modified > right.position:
        if statement.modified_at is not None:
            statement = statement._replace(read_ledger=modified, read_at=statement.modified_at)
        return ReadOutcome(None, statement, False)
    if read.value == ABSENT and read.read_ledger > modified and read.read_at > watermark.at:
        return ReadOutcome(None, statement._replace(modified_at=None), False)
    first = fill_unknown(right, statement)
    if first is None:
        count("stale")
        return ReadOutcome(None, None, False)
    right.certain = max(right.certain, read.read_at)
    silent = _find_silent(right, statement)
    if silent is None:
        return ReadOutcome(first, None, False)
    is_lost = right.versions[silent].value != UNKNOWN
    first = _begin(right, statement, silent)
    if is_lost:
        count("unannounced")
    return ReadOutcome(first, None, is_lost)


def _fill_newest(right: RightState, read: EntryRead) -> ReadOutcome:
    """The common case, 3 µs less: the newest version is the one that the read is of."""
    versions = right.versions
    at, position, _, trace = versions.pop()
    if not versions or versions[-1].value != read.value:
        versions.append(Version(at, position, read.value, trace))
    right.certain = max(right.certain, read.read_at)
    return ReadOutcome(at, None, False)


def _newest_position(right: RightState, ledger: int) -> int:
    """The newest version that had begun by a ledger: what an absence of unknown age speaks of."""
    for version in reversed(right.versions):
        if version.position <= ledger:
            return version.position
    return right.versions[0].position


def fill_unknown(right: RightState, read: EntryAsOf) -> int | None:
    """Fill the unknown pieces that events began in ledgers [modified, read]; equal neighbours merge and keep
    the first one's trace. The time of the first one filled; None where there was none."""
    versions, first = right.versions, None
    for i in range(len(versions) - 1, -1, -1):
        version = versions[i]
        if version.position < read.modified_ledger:
            break
        if version.value == UNKNOWN and version.position <= read.read_ledger and version.trace is not None:
            versions[i] = version._replace(value=read.value)
            first = version.at
            if i + 1 < len(versions) and versions[i + 1].value == read.value:
                del versions[i + 1]
    if first is not None:
        _merge_from(versions, first)
    return first


def _merge_from(versions: list[Version], first: int) -> None:
    """The first filled piece may equal the one before it."""
    for i in range(len(versions) - 1, 0, -1):
        if versions[i].at == first and versions[i - 1].value == versions[i].value:
            del versions[i]
            return


def find_unsettled(right: RightState) -> int:
    """The beginning of the first piece that a waiting absence may fill; INFINITY where there is none."""
    first = INFINITY
    for read in right.waiting:
        if read.value == ABSENT and read.modified_at is None and read.modified_ledger >= 0:
            for version in right.versions:
                if version.value == UNKNOWN and version.position >= read.modified_ledger:
                    first = min(first, version.at)
    return first


def settle_read(right: RightState, read: EntryAsOf, count: Count, before: EntryAsOf | None = None) -> Settled:
    """Compare what an entry was from its modification to `read_ledger` with what is held: whether that proves
    lost input. Never moves the position.

    `before`: the statement that was settled just before, about an earlier ledger: what is held was certain
    that long, and where the read value began in the ledger after it, nothing in between is unknown.
    """
    versions = right.versions
    i = len(versions) - 1
    while i >= 0 and (versions[i].position > read.read_ledger or versions[i].at > read.read_at):
        i -= 1
    if i < 0:
        count("as_of_inconclusive")
        return INCONCLUSIVE
    held = versions[i]
    if held.value == UNKNOWN and held.trace is not None and _tells_of(read, held):
        is_dated = read.modified_ledger >= 0 and read.value != ABSENT
        modified = read.modified_ledger if is_dated else held.position
        if fill_unknown(right, read._replace(modified_ledger=modified)) is not None:
            count("as_of_learned")
            right.certain = max(right.certain, read.read_at)
            return CONFIRMED
    if held.value == read.value:
        if i == len(versions) - 1:
            right.certain = max(right.certain, read.read_at)
        silent = _find_silent(right, read)
        if silent is None:
            count("as_of_confirmed")
            return CONFIRMED
        i = silent
    is_lost = versions[i].value != UNKNOWN
    since = _begin(right, read, i, -INFINITY if before is None else before.read_at)
    count("as_of_repaired" if is_lost else "as_of_learned")
    return Settled(since if is_lost else None, is_conclusive=True)


def _tells_of(read: EntryAsOf, held: Version) -> bool:
    """Does the read say what the entry became with the event of a version? An absence does where that event,
    or an earlier one, made somebody look; else the entry may have gone at any time since, unheard."""
    return read.value != ABSENT or 0 <= read.modified_ledger <= held.position


def _find_silent(right: RightState, read: EntryAsOf) -> int | None:
    """The piece inside which the value that was read must have begun, though no event told of that. (None for
    an absence: its ledger is that of the event that made somebody look.)"""
    versions = right.versions
    if read.value == ABSENT:
        return None
    i = len(versions) - 1
    while i >= 0 and versions[i].position >= read.modified_ledger:
        i -= 1
    if i < 0 or i == len(versions) - 1 or versions[i].value == read.value:
        return None
    following = versions[i + 1]
    if following.position == read.modified_ledger:
        return None
    return None if read.modified_at is not None and following.at <= read.modified_at else i


def _begin(right: RightState, read: EntryAsOf, i: int, seen: int = -INFINITY) -> int:
    """The read value begins inside piece `i`: when it was modified, where that is known, else when it was
    read. What the piece was between the last certain moment (`seen`, where nothing newer is known) and then
    is unknown. Since when it is not what was held."""
    versions = right.versions
    held = versions[i]
    is_newest = i == len(versions) - 1
    until = INFINITY if is_newest else versions[i + 1].at
    at = max(read.read_at if read.modified_at is None else read.modified_at, held.at)
    pieces: list[Version] = []
    certain, seen = held.at, max(seen, right.certain) if is_newest else seen
    if held.value != UNKNOWN and -INFINITY < seen < min(at, read.read_at) and held.at <= seen:
        certain = seen + 1
        pieces.append(held)
    if certain < at:
        trace = held.trace if held.value == UNKNOWN else None
        pieces.append(Version(certain, held.position, UNKNOWN, trace))
    if at < until:
        pieces.append(Version(at, max(read.modified_ledger, held.position), read.value, None))
    versions[i : i + 1] = pieces
    if is_newest:
        right.certain = max(right.certain, read.read_at)
    return min(certain, at)

"""What observations do to the right side of a key: events open versions, reads fill them, as-of reads check
them."""

from __future__ import annotations

from app.detector.left import Count
from app.detector.model import INFINITY, UNKNOWN, EntryAsOf, EntryEvent, EntryRead, Value
from app.detector.timeline import RightState, Version, insert
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


def apply_read(
    right: RightState, read: EntryRead, watermark: Watermark, count: Count
) -> tuple[int | None, bool]:
    """(the time from which the timeline changed, or None; whether an unannounced change was found).

    Fills every unknown piece with modified <= beginning <= read; with none to fill it is stale, or, newer
    than all that is held, a change that no event told of.
    """
    modified = read.modified_ledger
    if modified < 0:
        modified = _newest_position(right, read.read_ledger)
    if modified > right.position:
        count("unannounced")
        return _announce(right, read, watermark), True
    first = fill_unknown(right, modified, read.read_ledger, read.value)
    if first is None:
        count("stale")
        return None, False
    right.certain = max(right.certain, read.read_at)
    return first, False


def _newest_position(right: RightState, ledger: int) -> int:
    """The newest version that had begun by a ledger: what an absence of unknown age speaks of."""
    for version in reversed(right.versions):
        if version.position <= ledger:
            return version.position
    return right.versions[0].position


def _announce(right: RightState, read: EntryRead, watermark: Watermark) -> int:
    """A value that no event told of: what lies between the last certain moment and its beginning is
    unverifiable."""
    versions = right.versions
    began = read.modified_at if read.modified_at is not None else read.read_at
    at = max(began, versions[-1].at, watermark.at + 1)
    since = max(right.certain, versions[-1].at, watermark.at) + 1
    if right.position >= 0 and since < at:
        versions.append(Version(since, right.position, UNKNOWN, None))
    right.position = read.modified_ledger
    insert(versions, Version(at, read.modified_ledger, read.value, (None, read.event_id)))
    right.certain = max(right.certain, read.read_at)
    return at


def fill_unknown(right: RightState, modified: int, read: int, value: Value) -> int | None:
    """Fill the unknown pieces that began in ledgers [modified, read]; equal neighbours merge and keep the
    first one's trace. The time of the first one filled; None where there was none."""
    versions, first = right.versions, None
    for i in range(len(versions) - 1, -1, -1):
        version = versions[i]
        if version.position < modified:
            break
        if version.value == UNKNOWN and version.position <= read and version.trace is not None:
            versions[i] = version._replace(value=value)
            first = version.at
            if i + 1 < len(versions) and versions[i + 1].value == value:
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


def settle_read(right: RightState, read: EntryAsOf, count: Count) -> bool:
    """Compare what one ledger held with what is held for it; True where the read proves lost input."""
    versions = right.versions
    i = len(versions) - 1
    while i >= 0 and (versions[i].position > read.read_ledger or versions[i].at > read.read_at):
        i -= 1
    if i < 0:
        count("as_of_inconclusive")
        return False
    held = versions[i]
    if held.value == read.value:
        right.certain = max(right.certain, read.read_at)
        count("as_of_confirmed")
        return False
    modified = read.modified_ledger if read.modified_ledger >= 0 else held.position
    if held.value == UNKNOWN and fill_unknown(right, modified, read.read_ledger, read.value) is not None:
        right.certain = max(right.certain, read.read_at)
        count("as_of_learned")
        return False
    is_lost = held.value != UNKNOWN
    if is_lost:
        certain = max(right.certain, held.at)
        if certain > held.at:
            versions.insert(i + 1, Version(certain, held.position, UNKNOWN, None))
            i += 1
        else:
            versions[i] = held._replace(value=UNKNOWN)
    _begin(right, read, i)
    count("as_of_repaired" if is_lost else "as_of_learned")
    return is_lost


def _begin(right: RightState, read: EntryAsOf, i: int) -> None:
    """The read value begins inside the unknown piece `i`: when it was modified, where that is known, else
    when it was read."""
    versions = right.versions
    until = versions[i + 1].at if i + 1 < len(versions) else INFINITY
    known_since = read.modified_at if read.modified_at is not None else read.read_at
    at = max(known_since, versions[i].at + 1)
    if at < until:
        versions.insert(i + 1, Version(at, max(read.modified_ledger, versions[i].position), read.value, None))
    right.certain = max(right.certain, read.read_at)

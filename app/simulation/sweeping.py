"""A complete reading of both sides of a partition: pages of rows by snapshot, pages of entries by ledger."""

from __future__ import annotations

import random
from bisect import bisect_left

from app.detector.model import ABSENT, SECOND, EntryAsOf, RowAsOf, Seeded, Side, Snapshot, Value
from app.simulation.histories import close_of, ledger_at
from app.simulation.manner import RULE_ID, Facts, Manner, Told

PAGE_KEYS = 50
LONGEST_TRANSACTION_US = 30 * SECOND
MOST_STEPS = 8
"""So many changes of an entry are looked back through."""


def tell_sweep(r: random.Random, facts: Facts, manner: Manner, start: int) -> list[Told]:
    """The reads of a sweep that begins at `start`, left pages first, each told a while after it was read.

    A page takes up to a second. Reads are asked for every key that either side holds or that ever had a
    row; keys of which both sides know nothing are absent by the `Seeded` records.
    """
    late = r.randrange(50_000, 15 * SECOND)
    keys = [life.key for life in facts.lives]
    r.shuffle(keys)
    pages = [keys[i : i + PAGE_KEYS] for i in range(0, len(keys), PAGE_KEYS)]
    told: list[Told] = []
    at, known = start, set()
    for page in pages:
        snapshot, read_at = take_snapshot(facts, at), at + r.randrange(0, 50_000)
        stamp = read_at + manner.left_offset_us
        for key in page:
            rows = rows_at(facts, key, at)
            if rows:
                known.add(key)
            elif facts.entry_at(key, ledger_at(at))[0] != ABSENT or had_rows(facts, key, at):
                rows = [(None, ABSENT)]
            reads = [RowAsOf(RULE_ID, key, row, value, snapshot, stamp) for row, value in rows]
            if had_rows(facts, key, at, least=2):
                seen = tuple(row for row, _ in rows if row is not None)
                reads.append(RowAsOf(RULE_ID, key, None, ABSENT, snapshot, stamp, seen))
            told += [Told(read_at + late, read) for read in reads]
        at = read_at + r.randrange(50_000, SECOND)
    offset = manner.left_offset_us
    told.append(Told(at + late, Seeded(RULE_ID, Side.LEFT, start + offset, at + offset)))
    first = ledger_at(at)
    for page in pages:
        ledger = ledger_at(at)
        for key in page:
            read = _read_entry(r, facts, manner, (key, ledger))
            if read.value != ABSENT or key in known:
                told.append(Told(at + late, read))
        at += r.randrange(50_000, SECOND)
    offset = manner.right_offset_us
    last = close_of(ledger_at(at)) + offset
    told.append(Told(at + late, Seeded(RULE_ID, Side.RIGHT, close_of(first) + offset, last)))
    return told


def read_both(r: random.Random, facts: Facts, manner: Manner, key: str, at: int) -> list[Told]:
    """What a confirmation of one key brings: its rows at one snapshot, then its entry at the newest ledger,
    each told a moment later."""
    snapshot, stamp = take_snapshot(facts, at), at + manner.left_offset_us
    rows = rows_at(facts, key, at)
    seen = tuple(row for row, _ in rows if row is not None)
    arrival = at + r.randrange(50_000, 3 * SECOND)
    reads = [RowAsOf(RULE_ID, key, row, value, snapshot, stamp) for row, value in rows]
    reads.append(RowAsOf(RULE_ID, key, None, ABSENT, snapshot, stamp, seen))
    entry = _read_entry(r, facts, manner, (key, ledger_at(at)))
    return [*(Told(arrival, read) for read in reads), Told(arrival, entry)]


def walk_back(facts: Facts, manner: Manner, history_from: int, answers: list[Told]) -> list[Told]:
    """The answers of `read_both` with the before-images of the entry's changes, oldest first, before the
    entry itself: the ledger of its last modification says what it was before, and since when. One that is
    gone does not tell when it was removed."""
    *rows, last = answers
    entry = last.input
    if not isinstance(entry, EntryAsOf):
        return answers
    past: list[Told] = []
    modified, offset = entry.modified_ledger, manner.right_offset_us
    for _ in range(MOST_STEPS):
        closed = close_of(modified) + offset
        if modified < 0 or closed <= history_from:
            break
        value, since = facts.entry_at(entry.key, modified - 1)
        since = since if value != ABSENT else -1
        since_at = None if since < 0 else close_of(since) + offset
        read = EntryAsOf(RULE_ID, entry.key, value, since, since_at, modified - 1, closed - 1)
        past.append(Told(last.arrival, read))
        modified = since
    return [*rows, *reversed(past), last]


def take_snapshot(facts: Facts, at: int) -> Snapshot:
    """What a snapshot taken then says: what had committed before is visible, whatever its id."""
    xmax = facts.next_transaction(at)
    running = set()
    for i in range(bisect_left(facts.commit_times, at), len(facts.commits)):
        commit = facts.commits[i]
        if commit.at > at + LONGEST_TRANSACTION_US:
            break
        if commit.started <= at:
            running.add(facts.transaction(commit))
    return Snapshot(min(running, default=xmax), xmax, frozenset(running))


def rows_at(facts: Facts, key: str, at: int) -> list[tuple[int | None, Value]]:
    """The rows under a key that a snapshot of then sees."""
    rows: dict[int | None, Value] = {}
    for commit in facts.life_of[key].commits:
        if commit.at >= at:
            break
        rows[commit.row] = commit.after
    return [(row, value) for row, value in rows.items() if value != ABSENT]


def had_rows(facts: Facts, key: str, at: int, least: int = 1) -> bool:
    """Were there ever so many rows under a key? A sweep reads the keys of open episodes whole: a delete may
    be lost."""
    return len({commit.row for commit in facts.life_of[key].commits if commit.at < at}) >= least


def _read_entry(r: random.Random, facts: Facts, manner: Manner, place: tuple[str, int]) -> EntryAsOf:
    key, ledger = place
    value, modified = facts.entry_at(key, ledger)
    offset = manner.right_offset_us
    modified_at = close_of(modified) + offset if value != ABSENT and r.random() < 0.7 else None
    modified = modified if value != ABSENT else -1
    return EntryAsOf(RULE_ID, key, value, modified, modified_at, ledger, close_of(ledger) + offset)

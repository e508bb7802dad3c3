"""What the worker holds, as a worker that starts now would recover it, beside what is really there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.clock import Clock
from app.detector.detector import Detector, Held
from app.detector.model import Value
from app.detector.timeline import KeyState, Piece, merge_rows
from app.rules import LoadedRule
from app.settings import Settings
from app.stream.messages import row_key
from app.stream.partition import partition_key
from app.stream.state import decode_key, decode_partition
from app.sweep.patience import Patience
from app.sweep.reading import BothSides
from app.sweep.sides import value_of_rows
from connectors.kafka.reading import read_all
from connectors.postgres.reader import RowReader
from connectors.soroban.as_of import EntrySource
from connectors.soroban.rpc import Rpc

_TABLES: Final = ("left", "right", "episodes")
Rows = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """A key of which the worker holds something else than there is."""

    key: str
    side: str
    held: Value
    real: Value


async def find_discrepancies(
    settings: Settings, loaded: LoadedRule, clock: Clock
) -> tuple[int, list[Discrepancy]]:
    """(keys looked at, where the worker is wrong). Only exact while nothing moves."""
    left, right = await _read_reality(settings, loaded, clock)
    held = await _read_held(settings, loaded)
    keys = left.keys() | right.keys() | held.keys()
    found = []
    for key in sorted(keys):
        mine = held.get(key, ("absent", "absent"))
        for side, one, real in zip(("left", "right"), mine, (left, right), strict=True):
            if one != real.get(key, "absent"):
                found.append(Discrepancy(key, side, one, real.get(key, "absent")))
    return len(keys), found


async def _read_reality(
    settings: Settings, loaded: LoadedRule, clock: Clock
) -> tuple[dict[str, Value], dict[str, Value]]:
    rows = RowReader(settings.database, settings.source, settings.slot)
    rpc = Rpc(settings.rpc_url, clock)
    both = BothSides((rows, EntrySource(rpc, settings.network_passphrase)), loaded, Patience(clock), 0)
    left: dict[str, list[Value]] = {}
    right: dict[str, Value] = {}
    try:
        async for reading in both.pages(1000):
            for row in reading.rows.rows:
                left.setdefault(row.key, []).append(row.value)
            right.update((entry.key, entry.value) for entry in reading.entry_reads)
        async for reading in both.others(()):
            right.update((entry.key, entry.value) for entry in reading.entry_reads)
    finally:
        await rows.close()
        await rpc.close()
    return {key: value_of_rows(values) for key, values in left.items()}, right


async def _read_held(settings: Settings, loaded: LoadedRule) -> dict[str, tuple[Value, Value]]:
    tables = {name: await _read_table(settings, name) for name in _TABLES}
    found: dict[str, tuple[Value, Value]] = {}
    for partition in range(settings.partitions):
        parts = {name: rows.get(partition, {}) for name, rows in tables.items()}
        found.update(_values_of(loaded, partition, parts))
    return found


def _values_of(
    loaded: LoadedRule, partition: int, parts: Mapping[str, Rows]
) -> Iterator[tuple[str, tuple[Value, Value]]]:
    rule = loaded.rule
    left, right, episodes = (parts[name] for name in _TABLES)

    def fetch(key: str) -> KeyState | None:
        row = row_key(rule.id, key)
        return decode_key(left.get(row), right.get(row), episodes.get(row))

    detector = Detector(rule, held=Held(fetch, list))
    stored = episodes.get(partition_key(partition))
    if stored is not None:
        states, _, _ = decode_partition(stored)
        detector.restore_partition(states[rule.id])
    prefix = row_key(rule.id, "")
    for row in left.keys() | right.keys():
        if row.startswith(prefix):
            key = row[len(prefix) :].decode("utf-8", "surrogatepass")
            yield key, _last_values(detector, detector.keys.find(key))


def _last_values(detector: Detector, state: KeyState | None) -> tuple[Value, Value]:
    mine: Sequence[Piece] = detector.left.unheard
    theirs: Sequence[Piece] = detector.right.unheard
    if state is not None and state.left is not None:
        others = detector.left.unheard if state.left.others is None else state.left.others
        mine = merge_rows(state.left.rows, others) if state.left.rows else others
    if state is not None and state.right is not None:
        theirs = state.right.versions
    return mine[-1][2], theirs[-1][2]


async def _read_table(settings: Settings, table: str) -> dict[int, Rows]:
    """The newest row of each key, by partition."""
    topic = f"{settings.app_id}-{table}-changelog"
    found: dict[int, Rows] = {}
    async for record in read_all(settings.kafka, topic, settings.partitions):
        rows = found.setdefault(record.partition, {})
        if record.value is None:
            rows.pop(record.key, None)
        else:
            rows[record.key] = record.value
    return found

"""What the topics hold of one key: its records as a log's lines, and what was really told of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from app.detector.model import Transition
    from app.settings import Settings

_MARKS: Final = (b'"kind":"mark"', b'"kind":"gap"', b'"op":"m"')
_NOTED: Final = 10_000


async def read_key(settings: Settings, rule: str, key: str) -> tuple[list[bytes], list[Transition]]:
    """(Lines, transitions) of the key's partition, as far back as the topics reach: records of the key, and
    those that every partition gets (marks, gaps, seeds and the like). In the order of their timestamps, each
    topic in its own. On a terminal it says meanwhile how many it has read. Raises `Transient`."""
    from app.partitioning import partition_of
    from connectors.kafka.reading import read_partition
    from connectors.kafka.recording import line_of
    from schemas.topics import CHAIN_EVENTS, DB_CHANGES, MISMATCHES, OBSERVATIONS

    wanted = key.encode("utf-8", "surrogatepass")
    partition = partition_of(wanted, settings.partitions)
    found: list[tuple[int, bytes]] = []
    count = 0
    for topic in (DB_CHANGES, CHAIN_EVENTS, OBSERVATIONS):
        newest = 0
        async for record in read_partition(settings.kafka, settings.topic(topic), partition):
            count += 1
            if count % _NOTED == 0:
                _note(f"{count:,} records of partition {partition}")
            newest = max(newest, record.timestamp)
            if _concerns(record, wanted):
                found.append((newest, line_of(record, topic)))
    _note("")
    found.sort(key=lambda each: each[0])
    mine = f"{rule}|{key}".encode("utf-8", "surrogatepass")
    told = [
        _transition(record)
        async for record in read_partition(settings.kafka, settings.topic(MISMATCHES), partition)
        if record.key == mine
    ]
    return [line for _, line in found], told


def _note(text: str) -> None:
    """One line that the next one takes the place of; only a person sees it."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def _concerns(record: Any, key: bytes) -> bool:
    if record.key == key or record.key is None:
        return True
    return record.value is not None and any(mark in record.value for mark in _MARKS)


def _transition(record: Any) -> Transition:
    import orjson

    from app.detector.model import Transition

    headers = {name: value.decode() for name, value in record.headers}
    value: dict[str, object] = orjson.loads(record.value)
    return Transition(headers["ce_id"], headers["ce_type"], headers["ce_time"], headers, value)

"""In-band marks: one message key for each partition, and the query that writes a mark into each of them."""

from __future__ import annotations

from base64 import b64decode
from importlib.resources import files
from itertools import count
from typing import Final

import orjson

from app.partitioning import partition_of
from app.rules.canonical import microseconds
from connectors.debezium.codec import MARK_PREFIX
from connectors.debezium.database import Place

_QUERY: Final = (files("connectors.debezium") / "sql" / "emit_marks.sql").read_text(encoding="utf-8")


def mark_keys(partitions: int) -> list[str]:
    """For each partition in order, the first `wm:<number>` that Kafka's partitioner puts there."""
    found: dict[int, str] = {}
    for number in count():
        key = f"{MARK_PREFIX}{number}"
        found.setdefault(partition_of(key.encode(), partitions), key)
        if len(found) == partitions:
            return [found[partition] for partition in range(partitions)]
    raise AssertionError("unreachable")


def read_place(value: bytes) -> Place | None:
    """Where the log stood when the mark in this record of `db.changes` was written; None where it does not
    say."""
    try:
        message = orjson.loads(value)["message"]
        content = orjson.loads(b64decode(message["content"]))
        high, low = content["lsn"].split("/")
        history = content["epoch"].split("/")
        at_us = microseconds(content["at"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if at_us is None or len(history) < len(("system", "timeline")):
        return None
    return Place("/".join(history[:2]), (int(high, 16) << 32) + int(low, 16), at_us)


def mark_query(partitions: int, generation: str) -> str:
    """The SQL that the connector runs at each heartbeat. Its marks carry the source's epoch: a restored
    backup, a failover or a new slot gives another one."""
    keys = ",".join(f"'{key}'" for key in mark_keys(partitions))
    return " ".join(_QUERY.replace("{keys}", keys).replace("{generation}", _literal(generation)).split())


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

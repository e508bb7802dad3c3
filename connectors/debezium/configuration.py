"""The connector's configuration, generated from what must be captured (measured: every piece of it runs)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from app.errors import Fatal
from connectors.debezium.capture import CapturedTable
from connectors.debezium.codec import MARK_PREFIX
from connectors.debezium.marks import mark_query

CONNECTOR: Final = "driftwatch"
_EXTRACT: Final = "org.apache.kafka.connect.transforms.ExtractField$Key"
_MATCHES: Final = "org.apache.kafka.connect.transforms.predicates.TopicNameMatches"

_FIXED: Final[Mapping[str, str]] = {
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "tasks.max": "1",
    "plugin.name": "pgoutput",
    "publication.autocreate.mode": "disabled",
    "snapshot.mode": "no_data",
    "decimal.handling.mode": "string",
    "time.precision.mode": "isostring",
    "interval.handling.mode": "string",
    "hstore.handling.mode": "json",
    "binary.handling.mode": "base64",
    "tombstones.on.delete": "false",
    "skipped.operations": "none",
    "extended.headers.enabled": "false",
    "provide.transaction.metadata": "false",
    "message.prefix.include.list": f"{re.escape(MARK_PREFIX)}.*",
    "poll.interval.ms": "10",
    "max.batch.size": "4096",
    "max.queue.size": "16384",
    "max.queue.size.in.bytes": "134217728",
    "retriable.restart.connector.wait.ms": "1000",
    "slot.max.retries": "60",
    "slot.retry.delay.ms": "500",
    "errors.max.retries": "-1",
    "errors.tolerance": "none",
    "key.converter": "org.apache.kafka.connect.storage.StringConverter",
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    "value.converter.schemas.enable": "false",
    "topic.creation.default.partitions": "1",
    "topic.creation.default.cleanup.policy": "delete",
    "producer.override.enable.idempotence": "true",
    "producer.override.max.in.flight.requests.per.connection": "5",
    "producer.override.acks": "all",
    "producer.override.linger.ms": "5",
    "producer.override.batch.size": "131072",
    "producer.override.max.request.size": "8388608",
    "producer.override.compression.type": "lz4",
}


@dataclass(frozen=True, slots=True)
class Capture:
    """What the connector streams, and where to. `generation` tells a new slot from an old one of its name."""

    dsn: str
    source: str
    slot: str
    publication: str
    topic: str
    partitions: int
    replication_factor: int
    heartbeat_ms: int
    tables: Sequence[CapturedTable]
    primary_keys: Mapping[str, Sequence[str]]
    generation: str


def connector_config(capture: Capture) -> dict[str, str]:
    """The whole configuration; holds the database's password, so it is never logged."""
    tables, source = capture.tables, capture.source
    columns = [
        rf"{_quoted(table.name)}\.({'|'.join(re.escape(name) for name in _columns_of(table, capture))})"
        for table in tables
    ]
    return {
        **_FIXED,
        **_database(capture.dsn),
        "slot.name": capture.slot,
        "publication.name": capture.publication,
        "topic.prefix": source,
        "table.include.list": ",".join(_quoted(table.name) for table in tables),
        "column.include.list": ",".join(columns),
        "message.key.columns": ";".join(f"{_quoted(table.name)}:{table.key}" for table in tables),
        "heartbeat.interval.ms": str(capture.heartbeat_ms),
        "heartbeat.action.query": mark_query(capture.partitions, capture.generation),
        "topic.creation.default.replication.factor": str(capture.replication_factor),
        **_transforms(tables, source, capture.topic),
    }


def _columns_of(table: CapturedTable, capture: Capture) -> list[str]:
    return list(dict.fromkeys((*capture.primary_keys.get(table.name, ()), *table.columns)))


def _quoted(name: str) -> str:
    return re.escape(name)


def _transforms(tables: Sequence[CapturedTable], source: str, topic: str) -> dict[str, str]:
    """Keys become bare strings first, one extraction a distinct key column; all of it is routed into one
    topic last (predicates see the topic's name at their point of the chain)."""
    by_key: dict[str, list[str]] = {}
    for table in tables:
        by_key.setdefault(table.key, []).append(_quoted(table.name))
    prefix = re.escape(source)
    steps = [
        (f"key{number}", column, rf"{prefix}\.({'|'.join(names)})")
        for number, (column, names) in enumerate(by_key.items())
    ]
    steps.append(("mark", "prefix", rf"{prefix}\.message"))
    config = {
        "transforms": ",".join([*(name for name, _, _ in steps), "route"]),
        "predicates": ",".join(name for name, _, _ in steps),
        "transforms.route.type": "org.apache.kafka.connect.transforms.RegexRouter",
        "transforms.route.regex": "|".join(pattern for _, _, pattern in steps),
        "transforms.route.replacement": topic,
    }
    for name, column, pattern in steps:
        config |= {
            f"transforms.{name}.type": _EXTRACT,
            f"transforms.{name}.field": column,
            f"transforms.{name}.predicate": name,
            f"predicates.{name}.type": _MATCHES,
            f"predicates.{name}.pattern": pattern,
        }
    return config


def _database(dsn: str) -> dict[str, str]:
    """Host, port, user, password and database of a DSN. Raises `Fatal` for one that names no host."""
    parts = urlsplit(dsn)
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname:
        hint = "postgresql://user:password@host:5432/database"
        raise Fatal("reading", "DRIFTWATCH_DATABASE", "it is no address of a database", hint)
    config = {
        "database.hostname": parts.hostname,
        "database.port": str(parts.port or 5432),
        "database.user": unquote(parts.username or "postgres"),
        "database.password": unquote(parts.password or ""),
        "database.dbname": parts.path.lstrip("/") or "postgres",
    }
    mode = parse_qs(parts.query).get("sslmode")
    return config | ({"database.sslmode": mode[0]} if mode else {})

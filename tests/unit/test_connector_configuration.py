"""The connector's configuration out of the rules."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka.partitioner import murmur2

from app.errors import Fatal
from app.rules import LoadedRule, load_rules
from app.settings import RULES_FOLDER
from connectors.debezium.capture import CapturedTable, captured_tables
from connectors.debezium.configuration import Capture, connector_config
from connectors.debezium.database import Names, administrator_sql
from connectors.debezium.marks import mark_keys, mark_query, partition_of

LINES = CapturedTable("public.credit_lines", "wallet_address", ("wallet_address", "status"), ("credit-line",))
INVOICES = CapturedTable("billing.Invoices", "id", ("id", "amount"), ("escrow-funded",))


def capture_of(*tables: CapturedTable, dsn: str = "postgresql://postgres@127.0.0.1:5432/app") -> Capture:
    return Capture(
        dsn=dsn,
        source="db",
        slot="s",
        publication="p",
        topic="x.db.changes",
        partitions=4,
        replication_factor=1,
        heartbeat_ms=1000,
        tables=tables,
        primary_keys={"public.credit_lines": ["id"], "billing.Invoices": ["id"]},
        generation="0/1",
    )


def credit_rule() -> LoadedRule:
    [rule] = load_rules([RULES_FOLDER / "credit.yaml"], {"CREDIT_CONTRACT_ID": "C"}, ())
    return rule


def test_the_table_of_a_rule_is_captured_with_the_columns_that_it_reads() -> None:
    [table] = captured_tables([credit_rule()], "db")
    assert (table.name, table.key) == ("public.credit_lines", "wallet_address")
    assert set(table.columns) == {
        "wallet_address",
        "deleted_at",
        "credit_limit",
        "status",
        "available_credit",
        "interest_rate_bps",
    }


def test_two_rules_over_one_table_need_one_key() -> None:
    first = credit_rule()
    second = replace(first, left=replace(first.left, key="id"))
    with pytest.raises(Fatal, match=r"they key public\.credit_lines by wallet_address and by id"):
        captured_tables([first, second], "db")


def test_rules_of_another_source_capture_nothing_here() -> None:
    rule = credit_rule()
    with pytest.raises(Fatal, match="none of them concerns this source"):
        captured_tables([replace(rule, left=replace(rule.left, source="other"))], "db")


def test_every_partition_has_a_mark_key_that_kafka_puts_there() -> None:
    for partitions in (1, 2, 7, 32):
        keys = mark_keys(partitions)
        assert [partition_of(key.encode(), partitions) for key in keys] == list(range(partitions))


def test_the_mark_keys_of_twelve_partitions_are_those_measured_on_a_broker() -> None:
    expected = [f"wm:{number}" for number in (5, 6, 19, 0, 1, 11, 7, 4, 24, 39, 9, 14)]
    assert mark_keys(12) == expected
    assert [(murmur2(key.encode()) & 0x7FFFFFFF) % 12 for key in expected] == list(range(12))


def test_the_mark_query_carries_the_generation_and_cannot_be_broken_out_of() -> None:
    query = mark_query(2, "0/1'; DROP TABLE x; --")
    assert "'0/1''; DROP TABLE x; --'" in query
    assert "\n" not in query


def test_each_distinct_key_column_has_one_extraction_and_routing_comes_last() -> None:
    config = connector_config(capture_of(LINES, INVOICES))
    assert config["transforms"].split(",") == ["key0", "key1", "mark", "route"]
    assert config["transforms.key0.field"] == "wallet_address"
    assert re.fullmatch(config["predicates.key0.pattern"], "db.public.credit_lines")
    assert not re.fullmatch(config["predicates.key0.pattern"], "db.billing.Invoices")
    for routed in ("db.public.credit_lines", "db.billing.Invoices", "db.message"):
        assert re.fullmatch(config["transforms.route.regex"], routed)
    assert not re.fullmatch(config["transforms.route.regex"], "__debezium-heartbeat.db")
    assert config["transforms.route.replacement"] == "x.db.changes"


def test_only_declared_columns_and_the_primary_key_leave_the_database() -> None:
    included = connector_config(capture_of(LINES))["column.include.list"]
    assert re.fullmatch(included, "public.credit_lines.id")
    assert re.fullmatch(included, "public.credit_lines.status")
    assert not re.fullmatch(included, "public.credit_lines.email")


def test_the_database_is_taken_apart_and_its_password_unquoted() -> None:
    dsn = "postgresql://dbz:p%40ss@db.example:6432/app?sslmode=require"
    config = connector_config(capture_of(LINES, dsn=dsn))
    assert config["database.hostname"] == "db.example"
    assert config["database.port"] == "6432"
    assert config["database.password"] == "p@ss"
    assert config["database.sslmode"] == "require"


def test_an_address_that_is_no_database_is_refused() -> None:
    with pytest.raises(Fatal, match="postgresql://user:password@host:5432/database"):
        connector_config(capture_of(LINES, dsn="mysql://x/y"))


def test_the_offset_is_never_the_position_and_nothing_is_ever_skipped() -> None:
    config = connector_config(capture_of(LINES))
    assert config["snapshot.mode"] == "no_data"
    assert config["errors.tolerance"] == "none"
    assert config["publication.autocreate.mode"] == "disabled"
    assert config["tombstones.on.delete"] == "false"


def test_the_administrators_statements_quote_what_must_be_quoted() -> None:
    sql = administrator_sql(Names("s", "p"), [LINES, INVOICES], "dbz")
    assert 'GRANT SELECT ON public.credit_lines, billing."Invoices" TO dbz;' in sql
    assert 'ALTER TABLE billing."Invoices" REPLICA IDENTITY FULL;' in sql
    assert "SELECT pg_create_logical_replication_slot('s', 'pgoutput');" in sql
    assert "{" not in sql


def test_the_pom_pins_every_version() -> None:
    pom = Path("connectors/debezium/pom.xml").read_text(encoding="utf-8")
    for pinned in ("<kafka.version>4.3.0<", "<debezium.version>3.7.0.Final<", "<version>3.8.1<"):
        assert pinned in pom

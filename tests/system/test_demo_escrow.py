"""Invoices with a contract each, on the whole system: all that is planted is found, nothing else is told, and
no person's address is anywhere but in the two sources: no topic, log, metric, table, webhook or answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from app.cli.demo import Size, build_demo
from app.demo.escrow.books import see_books, see_escrow
from app.demo.escrow.contract import person_address
from app.demo.escrow.world import DRIFTS, EscrowWorld, Invoice
from app.demo.run import Demo
from app.demo.system import PROCESSES
from schemas.topics import CHAIN_EVENTS, DB_CHANGES, EPISODES, MISMATCHES, OBSERVATIONS
from tests.support.commands import run_command
from tests.support.desk_of_demo import hear_the_desk

LAST_US = 1 << 60
SOURCES = {DB_CHANGES, CHAIN_EVENTS}
"""What Debezium and the poller bring is raw."""


async def read_everything(brokers: str) -> dict[str, list[Any]]:
    """Every record of every topic that the brokers have, the tables' changelogs among them."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=brokers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        await consumer._client.force_metadata_update()
        names = [name for name in await consumer.topics() if not name.startswith("__consumer_offsets")]
        sources = [
            TopicPartition(name, partition)
            for name in names
            for partition in consumer.partitions_for_topic(name) or ()
        ]
        consumer.assign(sources)
        ends = await consumer.end_offsets(sources)
        found: dict[str, list[Any]] = {name: [] for name in names}
        await consumer.seek_to_beginning(*sources)
        left = {source for source in sources if ends[source] > 0}
        while left:
            for source, records in (await consumer.getmany(timeout_ms=200, max_records=20_000)).items():
                found[source.topic] += records
            for source in list(left):
                if await consumer.position(source) >= ends[source]:
                    left.discard(source)
    finally:
        await consumer.stop()
    return found


def clear_values(world: EscrowWorld) -> set[bytes]:
    """The addresses of persons, which the demo's rule says are sensitive."""
    invoices: list[Invoice] = world.subjects
    found = {person_address("another SME", each.escrow.invoice) for each in invoices if each.plan is not None}
    found |= {address for each in invoices for address in (each.escrow.sme, each.escrow.admin)}
    return {address.encode() for address in found}


def texts_of(records: list[Any]) -> bytes:
    parts: list[bytes] = []
    for record in records:
        parts += [record.key or b"", record.value or b"", *(value for _, value in record.headers)]
    return b"\n".join(parts)


def find_clear(clear: set[bytes], text: bytes) -> set[bytes]:
    """Addresses all begin with G and have 56 letters: a set is asked for each place where one may stand."""
    return {text[at : at + 56] for at in range(len(text)) if text[at] == ord("G")} & clear


async def test_all_that_is_planted_is_found_and_no_person_is_told_of(tmp_path: Path) -> None:
    demo = build_demo(tmp_path, 6.0, seed=21, chaos=False, size=Size("escrow", 260, 50, 2))
    world: EscrowWorld = demo.world  # type: ignore[assignment]
    clear, leaks, seen = clear_values(world), {}, {}

    async def look() -> None:
        await assert_compared_as_told(demo)
        topics = await read_everything(demo.system.kafka)
        for name, records in topics.items():
            seen[name] = texts_of(records)
            leaks[name] = find_clear(clear, seen[name])
        for name in PROCESSES:
            metrics = (await demo.system.supervisor.metrics(name)).encode()
            assert b"driftwatch_" in metrics
            leaks[f"metrics of {name}"] = find_clear(clear, metrics)
        desk = await hear_the_desk(demo, tmp_path)
        assert min(desk[name].count(b"smeAddress") for name in ("webhooks", "recon", "the API")) >= 2
        for name, said in desk.items():
            leaks[name] = find_clear(clear, said)

    demo.at_end = look
    report = await demo.run()
    assert_all_found(demo, report)
    logs = {path.name: path.read_bytes() for path in (tmp_path / "logs").glob("*.log")}
    leaks |= {name: find_clear(clear, text) for name, text in logs.items()}
    assert {name for name, found in leaks.items() if found} == SOURCES
    assert {MISMATCHES, EPISODES, OBSERVATIONS}.issubset(seen)
    assert b"smeAddress" in seen[MISMATCHES]
    assert seen[MISMATCHES].count(b"sha256:") >= 2, "hashes can be compared"
    assert len(seen) > 10, "the changelogs are among them"
    assert b"key_refused" in logs["poller.log"]


async def assert_compared_as_told(demo: Demo) -> None:
    """Both sides read now differ where they really do, and an id that cannot be held is an error."""
    subjects: list[Invoice] = demo.world.subjects  # type: ignore[assignment]
    before = differing_now(subjects)
    asked = ("compare", "escrow-funded", "--json", "--wait", "1s")
    compared = await run_command(*asked, environment=demo.system.environment())
    *differing, summed = [json.loads(line) for line in compared.out.splitlines()]
    keys = {each["key"] for each in differing}
    unheld = [each.key for each in subjects if "-" in each.key]
    assert compared.code == 1
    assert keys <= before | differing_now(subjects), "some may heal meanwhile"
    assert len(keys) >= 20
    assert summed["counts"]["refused"] == len(unheld) == 5
    assert all(key in compared.err and key not in keys for key in unheld)


def differing_now(subjects: list[Invoice]) -> set[str]:
    """The keys whose sides are not the same as they stand."""
    return {
        each.key
        for each in subjects
        if see_books(each.key, each.rows.at(LAST_US)) not in ("out", see_escrow(each.entries.at(LAST_US)))
    }


def assert_all_found(demo: Demo, report: dict[str, Any]) -> None:
    assert report["details"] == {"missed": [], "false_alarms": [], "unplanned_missed": []}
    assert set(report["by_kind"]) == {kind.value for kind in DRIFTS}
    assert report["found"] == report["planted"] == 5 * len(DRIFTS)
    assert report["harmless"] == 5
    assert (report["second_ids"], report["restarts"]) == (0, {})
    differing = {
        (each["field"], each["left"], each["right"])
        for event in demo.events
        if event.transition == "opened"
        for each in event.value["differences"]
    }
    assert {field for field, _, _ in differing} == {
        "existence",
        "invoiceId",
        "fundedAmount",
        "smeAddress",
        "issuer",
    }
    assert all((left, right) == (None, None) for field, left, right in differing if field == "issuer")
    assert ("existence", "present", "absent") in differing
    assert ("existence", "absent", "present") in differing


async def test_a_system_that_is_not_known_is_refused_at_once() -> None:
    refused = await run_command("demo", "--system", "barter")
    assert refused.code == 2
    assert "credit, escrow" in refused.err

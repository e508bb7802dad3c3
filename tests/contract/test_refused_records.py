"""What was refused goes back to where it came from as it was, or it is said why not, on a real broker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.errors import Poison, Transient
from app.native.child import free_port
from app.rules import load_rules
from app.settings import Settings
from app.stream.messages import TopicNames, dead_letter
from app.wiring import build_codecs
from connectors.kafka.refused import Original, RefusedRecords, why_not
from connectors.kafka.topics import ensure_topics
from schemas.topics import CHAIN_EVENTS, DB_CHANGES, DEAD_LETTERS, MISMATCHES, OBSERVATIONS
from tests.support.kafka import delete_before, open_sender, read_all
from tests.support.services import Services

FOLDER = Path(__file__).parents[2] / "app" / "rules"
CONTRACT = "CDB6WN753Y3ZKX74YJKIK5VVPHAPZZQIZIRMV6UUN6TW33QXVVTGIIQB"
RULES = load_rules((FOLDER / "credit.yaml",), {"CREDIT_CONTRACT_ID": CONTRACT})
AT_MS = 1_795_221_915_669
SOURCE = {"name": "db", "schema": "public", "table": "credit_lines", "lsn": 26712, "ts_us": AT_MS * 1000}
ROW = {
    "id": 7,
    "wallet_address": "GA",
    "credit_limit": "10",
    "available_credit": "10",
    "interest_rate_bps": 5,
    "status": "active",
    "deleted_at": None,
}
MARK = {"kind": "mark", "ledger": 7, "closed_at": "2026-08-01T10:00:10Z", "from_ledger": 6}


def change(**source: object) -> dict[str, Any]:
    return {"op": "c", "before": None, "after": ROW, "source": SOURCE | source}


def came(topic: str, value: object, key: bytes | None = b"GA") -> Original:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Original(topic, 1, 17, AT_MS, key, body, [("__debezium.oldkey", b"GB")])


@pytest.mark.parametrize(
    ("topic", "value", "told"),
    [
        (DB_CHANGES, change(), None),
        (DB_CHANGES, b"{no json", "still cannot be read"),
        (DB_CHANGES, change(table="others"), "DRIFTWATCH_RULES"),
        (DB_CHANGES, change() | {"op": "t"}, "would be untrue now"),
        (CHAIN_EVENTS, MARK, "would be untrue now"),
        (OBSERVATIONS, {"gap": {"source": "db", "cause": "slot"}}, "would be untrue now"),
        (MISMATCHES, {}, "driftwatch recorder --rebuild"),
    ],
)
def test_what_has_no_sense_any_more_is_told_with_what_to_do(
    topic: str, value: object, told: str | None
) -> None:
    why = why_not(came(topic, value), build_codecs(RULES))
    assert (why is None) == (told is None)
    assert told is None or (why is not None and told in why)


async def test_it_goes_back_as_it_was_or_the_reason_is_told(services: Services) -> None:
    settings = Settings(kafka=services.kafka, topic_prefix=f"refused{free_port()}.", partitions=2)
    await ensure_topics(settings)
    changes, letters = settings.topic(DB_CHANGES), settings.topic(DEAD_LETTERS)
    await bury(settings, came(changes, b"too old"), came(changes, change()), came(changes, b"{no json"))
    [first, second, third] = await read_all(settings.kafka, [letters], 2)
    await delete_before(settings.kafka, letters, first.partition, first.offset + 1)
    refused = RefusedRecords(settings, build_codecs(RULES, settings.topic_prefix))

    found = await refused.resend(
        [
            kept("old", letters, first),
            kept("good", letters, second),
            kept("bad", letters, third),
            kept("mine", settings.topic(MISMATCHES), second),
        ]
    )

    assert {one: why.partition(";")[0].partition(":")[0] for one, why in found.items()} == {
        "old": "the broker holds it no longer",
        "bad": "it still cannot be read",
        "mine": "it stands in its topic still, and only the recorder could not keep it",
    }
    [again] = await read_all(settings.kafka, [changes], 2)
    assert (again.partition, again.timestamp, again.key) == (1, AT_MS, b"GA")
    assert json.loads(again.value) == change()
    assert list(again.headers) == [("__debezium.oldkey", b"GB")]


async def test_a_broker_that_is_away_is_trouble_that_passes() -> None:
    nowhere = RefusedRecords(Settings(kafka="127.0.0.1:1"), build_codecs(RULES))
    with pytest.raises(Transient, match="sending again"):
        await nowhere.resend([{"id": "x", "payload": {"topic": DEAD_LETTERS, "partition": 0, "offset": 0}}])


def kept(name: str, topic: str, record: Any) -> Mapping[str, Any]:
    place = {"topic": topic, "partition": record.partition, "offset": record.offset}
    return {"id": name, "kind": "record", "payload": place}


async def bury(settings: Settings, *records: Original) -> None:
    """As a worker does it, all in one partition."""
    names = TopicNames(settings.topic_prefix)
    async with open_sender(settings.kafka, 2) as sender:
        for record in records:
            told = dead_letter(names, record, Poison("decoding", "it", "no"), "decode")
            await sender.producer.send_and_wait(
                told.topic, told.value, key=told.key, partition=0, headers=list(told.headers)
            )

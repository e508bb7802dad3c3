"""The golden examples: each is valid, the program's own readers understand it, and one story joins them."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import orjson
import pytest
from jsonschema import Draft202012Validator

import schemas
from app.detector.model import (
    ABSENT,
    ClockReading,
    EntryAsOf,
    EntryEvent,
    EntryRead,
    Gap,
    Input,
    Mark,
    RowAsOf,
    RowChange,
    Seeded,
    Side,
    Snapshot,
    Unreadable,
)
from app.ports import LOSS_CAUSES
from app.replay import Line, Replay
from app.rules import LoadedRule, load_rules
from app.settings import RULES_FOLDER
from app.wiring import build_codecs
from connectors.debezium.codec import ChangeCodec
from connectors.kafka.mismatches import read_mismatch
from connectors.kafka.observations import ObservationCodec
from connectors.soroban import cursor
from connectors.soroban.codec import ChainCodec

EXAMPLES = schemas.FOLDER / "examples"
FILES = sorted(EXAMPLES.glob("*/*.json"))
KEY = "GAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3QZ6Q"
CONTRACT = "CAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6N4O"
OPENED_US = 1_785_578_437_000_000
LIMIT, HALF = 10_000_000_000, 15_000_000_000


class Arrived(NamedTuple):
    """A record as aiokafka gives it."""

    value: bytes | None
    key: bytes | None = KEY.encode()
    headers: Sequence[tuple[str, bytes]] = ()
    topic: str = "db.changes"
    partition: int = 0
    offset: int = 0
    timestamp: int = 0


def example(name: str) -> Any:
    return json.loads((EXAMPLES / f"{name}.json").read_text(encoding="utf-8"))


def arrived(name: str, **more: Any) -> Arrived:
    return Arrived(orjson.dumps(example(name)), **more)


@pytest.fixture(name="credit", scope="module")
def _credit() -> LoadedRule:
    return load_rules([RULES_FOLDER / "credit.yaml"], {"CREDIT_CONTRACT_ID": CONTRACT})[0]


@pytest.mark.parametrize("name", schemas.names())
def test_a_schema_is_one_and_has_an_example(name: str) -> None:
    schema = schemas.document(name)

    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:driftwatch:schema:{name}"
    assert list((EXAMPLES / name).glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_example_is_valid_and_says_nothing_that_the_schema_does_not_name(path: Path) -> None:
    assert path.parent.name in schemas.names()
    assert schemas.validate(path.parent.name, json.loads(path.read_text(encoding="utf-8")), strict=True) == []


def test_the_causes_of_loss_are_those_of_the_schema() -> None:
    listed = schemas.document("status.v1")["$defs"]["cause"]["enum"]

    assert set(listed) == LOSS_CAUSES | {"parked"}


def test_a_definition_of_one_name_says_the_same_in_every_schema() -> None:
    found: dict[str, Any] = {}
    for name in schemas.names():
        for word, said in schemas.document(name).get("$defs", {}).items():
            if name != "rule.v1" and word not in ("mark", "gap", "change", "confirm", "sweep", "status"):
                assert found.setdefault(word, said) == said, f"{word} in {name}"


# ---- db.changes


def row(limit: int, available: int) -> tuple[str, int, str, int, int]:
    return (KEY, limit, "active", available, 500)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (
            "insert",
            RowChange(
                "credit-line", KEY, 7, 26864, 1_785_578_370_412_000, ABSENT, row(LIMIT, LIMIT), 1007701
            ),
        ),
        (
            "update",
            RowChange(
                "credit-line",
                KEY,
                7,
                27320,
                1_785_578_500_250_000,
                row(LIMIT, LIMIT),
                row(HALF, 14_000_000_000),
                1007704,
            ),
        ),
        (
            "delete",
            RowChange("credit-line", KEY, 7, 28232, 1_785_578_760_100_000, None, ABSENT, 1007710),
        ),
        (
            "snapshot-read",
            RowChange("credit-line", KEY, 7, 0, 1_785_578_762_000_000, None, row(HALF, 14_000_000_000), None),
        ),
        ("truncate", Gap(Side.LEFT, "db", 1_785_578_761_000_000, 1_785_578_761_000_000, "truncate")),
        ("mark", Mark(Side.LEFT, "db", 1_785_578_390_127_344, "7571306284092661791/1/2")),
    ],
)
def test_the_change_codec_understands_the_examples(credit: LoadedRule, name: str, found: Input) -> None:
    assert list(ChangeCodec([credit]).decode(arrived(f"change.v1/{name}"))) == [found]


def test_a_message_that_is_no_mark_is_skipped(credit: LoadedRule) -> None:
    codec = ChangeCodec([credit])

    assert codec.decode(arrived("change.v1/message", key=b"deploy")) == ()
    assert codec.skipped == {"message": 1}


# ---- chain.events


def test_the_content_of_a_mark_is_what_the_schema_says() -> None:
    content = base64.b64decode(example("change.v1/mark")["message"]["content"])

    assert schemas.validate("change.v1#/$defs/mark", json.loads(content), strict=True) == []


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (
            "event",
            EntryEvent(
                "credit-line",
                KEY,
                3829999,
                1_785_578_405_000_000,
                f"{3829999:064x}",
                "0016449720448716800-0000000001",
            ),
        ),
        (
            "entry",
            EntryRead(
                "credit-line",
                KEY,
                row(HALF, HALF),
                3829999,
                1_785_578_405_000_000,
                3830000,
                1_785_578_410_000_000,
                "0016449720448716800-0000000001",
            ),
        ),
        (
            "entry-absent",
            EntryRead(
                "credit-line",
                KEY,
                ABSENT,
                3830061,
                1_785_578_715_000_000,
                3830062,
                1_785_578_720_000_000,
                "0016449986736689152-0000000001",
            ),
        ),
        ("mark", Mark(Side.RIGHT, "cee0302d59844d32", 1_785_578_405_000_000, None, 3829999, 3829992)),
        ("gap", Gap(Side.RIGHT, "cee0302d59844d32", None, None, "retention", 3700000, 3710000)),
    ],
)
def test_the_chain_codec_understands_the_examples(credit: LoadedRule, name: str, found: Input) -> None:
    assert list(ChainCodec([credit]).decode(arrived(f"chain-event.v1/{name}"))) == [found]


def test_an_event_of_nobody_is_skipped_and_a_refused_entry_is_told_as_unreadable(credit: LoadedRule) -> None:
    codec = ChainCodec([credit])

    assert codec.decode(arrived("chain-event.v1/event-of-nobody")) == ()
    assert codec.skipped == {"names_no_key": 1}
    [found] = codec.decode(arrived("chain-event.v1/entry-refused"))
    assert isinstance(found, Unreadable)
    assert (found.rule, found.side) == ("credit-line", Side.RIGHT)
    assert "could not be decoded" in found.detail


def test_the_cursor_is_read_back() -> None:
    found = cursor.from_json(orjson.dumps(example("chain-cursor.v1/cursor")))

    assert (found.ledger, cursor.scanned_ledger(found.position or "")) == (3830061, 3830061)


# ---- drift.observations

READ_AT = 1_785_579_000_004_211


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (
            "sweep-row",
            RowAsOf(
                "credit-line",
                KEY,
                7,
                row(HALF, 14_000_000_000),
                Snapshot(1007720, 1007722, frozenset({1007720, 1007721})),
                READ_AT,
            ),
        ),
        (
            "sweep-no-row",
            RowAsOf("credit-line", KEY, None, ABSENT, Snapshot(1007720, 1007720, frozenset()), READ_AT),
        ),
        (
            "confirm-entry",
            EntryAsOf(
                "credit-line",
                KEY,
                row(HALF, 14_000_000_000),
                3830008,
                1_785_578_450_000_000,
                3830120,
                1_785_579_010_000_000,
            ),
        ),
        (
            "seed-no-entry",
            EntryAsOf("credit-line", KEY, ABSENT, -1, None, 3830120, 1_785_579_010_000_000),
        ),
        ("seeded", Seeded("credit-line", Side.LEFT, READ_AT)),
        ("gap", Gap(Side.LEFT, "db", 1_785_578_761_000_000, 1_785_578_761_000_000, "truncate")),
        ("clock", ClockReading("db", -12_000)),
        (
            "schema",
            Unreadable(
                "credit-line",
                Side.LEFT,
                1_785_578_761_000_000,
                "public.credit_lines: column 'credit_limit' is missing, rule credit-line needs it",
            ),
        ),
    ],
)
def test_the_observation_codec_understands_the_examples(credit: LoadedRule, name: str, found: Input) -> None:
    key = None if name in ("seeded", "gap", "clock", "schema") else KEY.encode()

    assert list(ObservationCodec([credit]).decode(arrived(f"observation.v1/{name}", key=key))) == [found]


@pytest.mark.parametrize("name", ["rekeyed-change", "mark", "epoch", "activate"])
def test_what_is_not_judged_yet_is_skipped_by_its_cause(credit: LoadedRule, name: str) -> None:
    codec = ObservationCodec([credit])
    key = KEY.encode() if name == "rekeyed-change" else None

    assert list(codec.decode(arrived(f"observation.v1/{name}", key=key))) == []
    assert sum(codec.skipped.values()) == 1


# ---- what is told


def test_a_consumer_reads_the_mismatches() -> None:
    printed = example("replay-event.v1/0-opened")
    headers = [(name, str(printed[name]).encode()) for name in ("ce_id", "ce_type", "ce_time")]

    found = read_mismatch(arrived("mismatch.v1/0-opened", headers=headers), OPENED_US)

    assert found is not None
    assert (found.transition, found.rule, found.key) == ("opened", "credit-line", KEY)
    assert (found.id, found.time) == (printed["ce_id"], "2026-08-01T10:00:37Z")
    assert read_mismatch(Arrived(None), OPENED_US) is None
    assert read_mismatch(arrived("mismatch.v1/0-opened"), OPENED_US) is None


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("tombstone", KEY.encode(), None),
        ("bytes", b"\xff", b"\x00\xff"),
        ("change", KEY.encode(), orjson.dumps(example("change.v1/insert"))),
    ],
)
def test_a_line_of_a_log_is_the_record_that_it_was(name: str, key: bytes, value: bytes | None) -> None:
    found = msgspec.json.decode(orjson.dumps(example(f"log-line.v1/{name}")), type=Line)

    assert (found.topic, found.partition, found.key, found.value) == ("db.changes", 0, key, value)


def test_the_story_replays_to_the_examples_of_what_is_told(credit: LoadedRule) -> None:
    printed: list[bytes] = []
    lines = (EXAMPLES / "story.jsonl").read_bytes().splitlines(keepends=True)

    summary = Replay([credit.rule], build_codecs([credit]), printed.append, from_empty=True).run(lines)

    told = [orjson.loads(line) for line in printed]
    assert told == [example(f"replay-event.v1/{path.stem}") for path in sorted_stems("replay-event.v1")]
    assert [event["value"] for event in told] == [
        example(f"mismatch.v1/{path.stem}") for path in sorted_stems("mismatch.v1")
    ]
    assert told[-1]["value"] == example("episode.v1/last")
    assert [event["value"]["transition"] for event in told] == [
        "opened",
        "updated",
        "resolved",
        "reopened",
        "resolved",
    ]
    assert (summary.refused, summary.open) == ({}, {})


def test_the_story_holds_the_examples_of_its_topics() -> None:
    lines = [json.loads(line) for line in (EXAMPLES / "story.jsonl").read_bytes().splitlines()]
    values = [line["value"] for line in lines]

    for line in lines:
        assert schemas.validate("log-line.v1", line, strict=True) == []
        name = "change.v1" if line["topic"] == "db.changes" else "chain-event.v1"
        assert schemas.validate(name, line["value"], strict=True) == []
    for name in ("change.v1/insert", "change.v1/update", "change.v1/mark"):
        assert example(name) in values
    for name in ("chain-event.v1/event", "chain-event.v1/entry", "chain-event.v1/mark"):
        assert example(name) in values


def sorted_stems(name: str) -> list[Path]:
    return sorted((EXAMPLES / name).glob("*.json"))


def test_the_consumer_of_the_readme_describes_an_event() -> None:
    text = (schemas.FOLDER / "README.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    place: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "schemas/README.md", "exec"), place)  # noqa: S102 - our own page

    told = place["describe"]({"ce_time": "2026-08-01T10:00:37Z"}, example("mismatch.v1/0-opened"))

    assert told.split("  ") == [
        "2026-08-01T10:00:37Z",
        "critical",
        "credit-line",
        KEY,
        "opened",
        "creditLimit: 1000 here, 1500 there (off by 500)",
        "availableCredit: 1000 here, 1500 there (off by 500)",
    ]

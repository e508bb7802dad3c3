"""Everything that the program writes is what the schemas say, byte for byte as it leaves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from stellar_sdk import scval

import schemas
from app.detector.model import (
    ABSENT,
    INFINITY,
    OUT,
    UNKNOWN,
    EntryAsOf,
    Gap,
    Incident,
    RowAsOf,
    Seeded,
    Side,
    Snapshot,
)
from app.errors import Poison
from app.replay import Line, Replay
from app.rules import LoadedRule, load_rules
from app.settings import RULES_FOLDER
from app.stream import messages as tell
from app.stream.messages import TopicNames
from app.stream.parking import ParkedPlace
from app.stream.partition import DriftPartition
from app.stream.work import Batch, Message, Outcome
from app.wiring import build_codecs
from connectors.kafka.observations import ObservationCodec, encode_read, encode_seeded
from connectors.soroban import records
from connectors.soroban.answers import Event
from connectors.soroban.contracts.credit import CreditLine
from connectors.soroban.cursor import Cursor, to_json
from connectors.soroban.reader import EntryState
from schemas import topics
from tests.support.one_partition import Arrived, make_partition

EXAMPLES = schemas.FOLDER / "examples"
KEY = "GAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3QZ6Q"
CONTRACT = "CAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6N4O"
NETWORK = "cee0302d59844d32"
CLOSED = datetime(2026, 8, 1, 10, 0, 5, tzinfo=UTC)
CLOSED_US = 1_785_578_405_000_000
SCHEMAS = {
    topics.MISMATCHES: "mismatch.v1",
    topics.EPISODES: "episode.v1",
    topics.STATUS: "status.v1",
    topics.OBSERVATIONS: "observation.v1",
    topics.REQUESTS: "request.v1",
}


@pytest.fixture(name="credit", scope="module")
def _credit() -> LoadedRule:
    return load_rules([RULES_FOLDER / "credit.yaml"], {"CREDIT_CONTRACT_ID": CONTRACT})[0]


@pytest.fixture(name="partition")
def _partition(credit: LoadedRule) -> DriftPartition:
    """Tells at once."""
    return make_partition([replace(credit, rule=replace(credit.rule, confirm_us=None))])


def story() -> list[Line]:
    lines = (EXAMPLES / "story.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Line) for line in lines]


def faults(message: Message) -> list[str]:
    """What the schemas say against a message and its headers."""
    headers = {name: value.decode() for name, value in message.headers}
    if message.topic == topics.DEAD_LETTERS:
        return schemas.validate("dead-letter.v1", headers, strict=True)
    if message.value is None:
        return [] if message.topic == topics.EPISODES else ["no value"]
    found = schemas.validate(SCHEMAS[message.topic], json.loads(message.value), strict=True)
    if message.topic in (topics.MISMATCHES, topics.EPISODES):
        found += schemas.validate("mismatch.v1#/$defs/headers", headers, strict=True)
    return found


def all_faults(outcomes: Sequence[Outcome]) -> list[str]:
    return [fault for outcome in outcomes for message in outcome.messages for fault in faults(message)]


def kinds(outcomes: Sequence[Outcome]) -> set[str]:
    """Topics of what was written, status by the first word of its key."""
    found = set()
    for outcome in outcomes:
        for message in outcome.messages:
            word = (message.key or b"").decode().partition("|")[0]
            found.add(word if message.topic == topics.STATUS else message.topic)
    return found


def test_a_worker_writes_what_the_schemas_say(partition: DriftPartition) -> None:
    written = [partition.absorb(Batch([line], 1.0)) for line in story()]
    written.append(partition.tick())

    assert kinds(written) == {topics.MISMATCHES, topics.EPISODES, "status"}
    assert all_faults(written) == []


def test_a_worker_asks_about_a_suspect_as_the_schemas_say(credit: LoadedRule) -> None:
    partition = make_partition([credit])
    written = [partition.absorb(Batch([line], 1.0)) for line in story()]

    assert kinds(written) == {topics.REQUESTS, "status"}
    assert all_faults(written) == []


def test_a_worker_that_meets_trouble_writes_what_the_schemas_say(partition: DriftPartition) -> None:
    written = [partition.absorb(Batch([line], 1.0)) for line in story()[:6]]
    offset = 1 + max(line.offset for line in story()[:6] if line.topic == topics.DB_CHANGES)
    truncation = (EXAMPLES / "change.v1" / "truncate.json").read_bytes()
    bad = [
        Arrived(b"\xff\x00", offset, KEY.encode(), [("mine", b"1")]),
        Arrived(None, offset + 1, KEY.encode()),
        Arrived(truncation, offset + 2),
        Arrived(None, offset + 9, KEY.encode()),
    ]

    written += [partition.absorb(Batch([record], 2.0)) for record in bad]
    written += [partition.tick(), partition.park(ValueError("a bug"))]

    assert kinds(written) >= {topics.DEAD_LETTERS, topics.OBSERVATIONS, "incident", "status"}
    assert all_faults(written) == []
    dead = next(one for outcome in written for one in outcome.messages if one.topic == topics.DEAD_LETTERS)
    assert dead.value == b"\xff\x00"
    assert dict(dead.headers)["mine"] == b"1"


@pytest.mark.parametrize(
    "incident",
    [
        Incident("credit-line", None, "retention", Side.RIGHT, -INFINITY, None, "x"),
        Incident("credit-line", KEY, "too_hot", Side.LEFT, CLOSED_US, CLOSED_US + 1, "x"),
        ParkedPlace("db.changes", 7, 0, "x" * 1000).incident("credit-line", None),
    ],
)
def test_incidents(incident: Incident) -> None:
    assert faults(tell.tell_incident(TopicNames(), incident, None)) == []


@pytest.mark.parametrize(
    "gap", [Gap(Side.LEFT, None, None, None, "slot"), Gap(Side.LEFT, "db", 1, 2, "epoch")]
)
def test_gaps_that_are_told_to_every_partition(gap: Gap) -> None:
    assert faults(tell.broadcast_gap(TopicNames(), gap, 3)) == []


def test_a_dead_letter_of_any_text() -> None:
    record = Arrived(b"{}", 5, topic="söme.topic")

    letter = tell.dead_letter(TopicNames(), record, Poison("decoding", "it", "\ud800" * 2000), "decode")

    assert len(dict(letter.headers)["__drift.errors.message"]) <= 3000
    assert dict(letter.headers)["__drift.errors.topic"].decode() == "söme.topic"


def test_a_replay_prints_what_the_schemas_say(credit: LoadedRule) -> None:
    printed: list[bytes] = []
    lines = (EXAMPLES / "story.jsonl").read_bytes().splitlines(keepends=True)

    Replay([credit.rule], build_codecs([credit]), printed.append, from_empty=True).run(lines)

    assert len(printed) == 5
    assert [schemas.validate("replay-event.v1", json.loads(line), strict=True) for line in printed] == [
        []
    ] * 5


FIELDS = """
  amount: {left: x, right: x, type: amount, right_scale: 7, sensitive: SENSITIVE}
  integer: {left: x, right: x, type: integer, sensitive: SENSITIVE}
  text: {left: x, right: x, type: text, sensitive: SENSITIVE}
  boolean: {left: x, right: x, type: boolean, sensitive: SENSITIVE}
  time: {left: x, right: x, type: time, sensitive: SENSITIVE}
  bytes: {left: x, right: x, type: bytes, sensitive: SENSITIVE}
"""
STRANGE: list[Any] = [
    None, True, 0, -1, 10**38, -(10**38), 1.5, "", "NAN", "-0.0000000", "1e5", "9" * 2000, "x" * 5000,
    "2026-08-01T10:00:00Z", "0001-01-01", "9999-12-31T23:59:59.999999Z", "\x00", "ﷺ", [1], {"a": None},
]  # fmt: skip


@pytest.mark.parametrize("sensitive", ["", "hash", "omit"])
def test_strange_values_are_told_as_the_schema_says(tmp_path: Path, sensitive: str) -> None:
    fields = FIELDS.replace(", sensitive: SENSITIVE", f", sensitive: {sensitive}" if sensitive else "")
    (tmp_path / "rule.yaml").write_text(
        "rule: strange\nversion: 1\nkind: state\nleft: {table: public.t, key: k}\n"
        f"right: {{contract: C, entry: e}}\nfields:{fields}",
        encoding="utf-8",
    )
    rule = load_rules([tmp_path / "rule.yaml"], {})[0]
    printed: list[bytes] = []
    runner = Replay([rule.rule], build_codecs([rule]), printed.append, from_empty=True)

    runner.run(strange_log())

    told = [json.loads(line) for line in printed]
    assert len(told) == len(STRANGE)
    assert [schemas.validate("replay-event.v1", one, strict=True) for one in told] == [[]] * len(told)


def strange_log() -> list[bytes]:
    """Each value of STRANGE under a key of its own on the left, "-1" on the right, and marks long after."""
    lines: list[dict[str, Any]] = []
    for number, value in enumerate(STRANGE):
        key = f"key-{number}"
        source = {"name": "db", "schema": "public", "table": "t", "ts_us": CLOSED_US, "lsn": number + 1}
        row = {"id": number, "k": key, "x": value}
        lines.append(
            {"topic": topics.DB_CHANGES, "key": key, "value": {"op": "c", "source": source, "after": row}}
        )
        entry = {
            "kind": "entry", "entry": "e", "contract": "C", "key": key, "exists": True, "value": {"x": -1},
            "modified_ledger": 5, "modified_at": "2026-08-01T10:00:05Z", "read_ledger": 6,
            "read_at": "2026-08-01T10:00:10Z",
        }  # fmt: skip
        lines.append({"topic": topics.CHAIN_EVENTS, "key": key, "value": entry})
    mark = {"kind": "mark", "ledger": 99, "closed_at": "2026-08-01T10:30:00Z"}
    lines.append({"topic": topics.CHAIN_EVENTS, "value": mark})
    told = {"op": "m", "source": {"name": "db", "table": ""}, "message": {"prefix": "wm:0", "content": MARK}}
    lines.append({"topic": topics.DB_CHANGES, "key": "wm:0", "value": told})
    return [
        orjson.dumps({"partition": 0, **line}, option=orjson.OPT_NON_STR_KEYS) for line in map(widen, lines)
    ]


MARK = "eyJhdCI6ICIyMDI2LTA4LTAxVDEwOjMwOjAwWiJ9"


def widen(line: dict[str, Any]) -> dict[str, Any]:
    """orjson writes no integer of more than 64 bits: those are spliced in as they are."""
    return {**line, "value": orjson.Fragment(json.dumps(line["value"], ensure_ascii=False))}


# ---- what the poller writes

WATCH = records.Watch(CONTRACT, (CreditLine(),))


def event(*topic: str, value: str, contract: str = CONTRACT, number: int = 1) -> Event:
    toid = 3829999 << 32 | number << 12
    return Event(
        "contract",
        3829999,
        CLOSED,
        f"{toid:019d}-{1:010d}",
        f"{number:064x}",
        contract,
        list(topic),
        value,
        1,
        0,
    )


def valid_records(found: Sequence[records.Keyed]) -> list[Any]:
    values = [json.loads(record.value) for record in found]
    assert [schemas.validate("chain-event.v1", value, strict=True) for value in values] == [[]] * len(values)
    return values


def test_events_of_any_data() -> None:
    of_key = scval.to_struct({"borrower": scval.to_address(KEY), "amount": scval.to_int128(-(2**127))})
    anything = scval.to_vec([scval.to_uint256(2**256 - 1), scval.to_bytes(b"\xff"), scval.to_bool(False)])
    symbols = [scval.to_symbol("credit").to_xdr(), scval.to_symbol("drawn").to_xdr()]

    found = records.name_entries(
        NETWORK,
        [
            event(*symbols, value=of_key.to_xdr()),
            event(value=anything.to_xdr(), number=2),
            event(value=scval.to_void().to_xdr(), contract="", number=3),
            event("no base64", value="AAAA", number=4),
        ],
        {CONTRACT: WATCH},
    )

    values = valid_records(found.records)
    assert [value["key"] for value in values] == [KEY, CONTRACT, NETWORK, CONTRACT]
    assert [value["entries"] for value in values] == [["credit-line"], [], [], []]
    assert values[0]["data"]["map"][0] == {"key": {"symbol": "amount"}, "val": {"i128": str(-(2**127))}}
    assert found.undecodable == 2
    assert values[3]["topics"] == [{"xdr": "no base64"}]


@pytest.mark.parametrize(
    ("state", "modified_at"),
    [
        (EntryState(KEY, False), CLOSED_US),
        (EntryState(KEY, True, {"credit_limit": "1"}, 3829999, 3900000), CLOSED_US),
        (EntryState(KEY, True, {"credit_limit": "1"}, 3829000, None), None),
        (EntryState(KEY, True, None, 3829999, None, "it is no map"), None),
    ],
)
def test_entries(state: EntryState, modified_at: int | None) -> None:
    place = records.ReadPlace(NETWORK, CONTRACT, "credit-line", 3830000, CLOSED_US + 5_000_000)

    valid_records([records.entry_record(place, state, event(value=scval.to_void().to_xdr()), modified_at)])


def test_marks_gaps_and_cursors() -> None:
    mark = records.mark_record(NETWORK, 3830000, CLOSED_US, 3829999)
    gap = records.gap_record(NETWORK, 3700000, 3710000)

    valid_records([records.Keyed(NETWORK, mark), records.Keyed(NETWORK, gap)])
    stored = to_json(Cursor("0016449724743679999-4294967295", 3830000))
    assert schemas.validate("chain-cursor.v1", json.loads(stored), strict=True) == []


# ---- what the sweeper writes

SNAPSHOT = Snapshot(7, 9, frozenset({7}))
CANONICAL = (KEY, 10_000_000_000, "active", "NAN", 10**38)


@pytest.mark.parametrize("value", [CANONICAL, (None,) * 5, ("1", "1", "1", "1.5", "1"), ABSENT, OUT, UNKNOWN])
def test_reads_come_back_as_they_were(credit: LoadedRule, value: Any) -> None:
    codec = ObservationCodec([credit])
    row = RowAsOf("credit-line", KEY, None if value == ABSENT else 7, value, SNAPSHOT, CLOSED_US)
    entry = EntryAsOf("credit-line", KEY, value, 3829999, CLOSED_US, 3830000, CLOSED_US + 1)

    for read, origin in ((row, "sweep"), (entry, "confirm")):
        raw = encode_read(credit.rule, read, "run-1", origin)
        assert schemas.validate("observation.v1", json.loads(raw), strict=True) == []
        assert codec.decode(Arrived(raw, 0, KEY.encode(), topic=topics.OBSERVATIONS)) == (read,)


def test_the_end_of_a_seed_comes_back_as_it_was(credit: LoadedRule) -> None:
    seeded = Seeded("credit-line", Side.RIGHT, CLOSED_US)

    raw = encode_seeded(seeded, "run-1")

    assert schemas.validate("observation.v1", json.loads(raw), strict=True) == []
    assert ObservationCodec([credit]).decode(Arrived(raw)) == (seeded,)

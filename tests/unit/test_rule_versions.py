"""Around an activation every instant is judged by one version of a rule, through restarts too (I15)."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.detector.model import Activation
from app.detector.values import format_time
from app.errors import Fatal
from app.rules import LoadedRule, load_document, load_rules
from app.settings import RULES_FOLDER
from app.stream import versions
from app.stream.partition import DriftPartition
from app.stream.rule_partition import EPISODES, LEFT, RIGHT, TABLES
from app.stream.versions import versions_key
from app.stream.work import Batch, Outcome, Part, write_rows
from connectors.kafka.observations import encode_activation
from schemas import topics
from tests.support.credit_stream import ENVIRONMENT, CreditStream, Told
from tests.support.one_partition import NOW_US, Arrived, FrozenClock, make_partition

FILE = RULES_FOLDER / "credit.yaml"
START_US = 1_790_000_000_000_000
EFFECTIVE_US = START_US + 330_000_000


def rule(version: int, *overrides: str, confirm: str = "off") -> LoadedRule:
    said = [f"version={version}", f"confirm={confirm}", *overrides]
    return load_rules([FILE], ENVIRONMENT, said)[0]


def activation(loaded: LoadedRule, at: int = EFFECTIVE_US) -> Activation:
    return Activation(loaded.rule.id, loaded.rule.version, loaded.digest, at, loaded.document, loaded.path)


def stream() -> list[Told]:
    told = CreditStream(keys=12, partitions=1, drift_every=5)
    return [*told.birth(), *told.ledgers(150, 4)]


class Run:
    """Records through a partition whose rows survive its restarts."""

    def __init__(self, rules: Sequence[LoadedRule]) -> None:
        self.rules = rules
        self.parts: dict[str, Part] = {table: {} for table in TABLES}
        self.events: dict[str, dict[str, Any]] = {}
        self.asked: list[dict[str, Any]] = []
        self.kept: dict[bytes, bytes | None] = {}
        self.offsets: dict[str, int] = {}
        self.steps_more = 0
        self.partition = make_partition(rules, self.parts)

    def restart(self, rules: Sequence[LoadedRule] | None = None) -> DriftPartition:
        self.rules = rules or self.rules
        self.partition = make_partition(self.rules, self.parts)
        return self.partition

    def tell(self, told: Iterable[Told]) -> None:
        for topic, _, key, value in told:
            self.take(topic, key, value)

    def activate(self, asked: Activation) -> None:
        self.take(topics.OBSERVATIONS, None, encode_activation(asked))

    def take(self, topic: str, key: bytes | None, value: bytes) -> None:
        offset = self.offsets[topic] = self.offsets.get(topic, -1) + 1
        record = Arrived(value, offset, key, topic=topic)
        self.keep(self.partition.absorb(Batch([record], 1.0)))

    def keep(self, outcome: Outcome) -> None:
        for message in outcome.messages:
            if message.topic == topics.MISMATCHES:
                value = orjson.loads(message.value or b"")
                ce_id = dict(message.headers)["ce_id"].decode()
                time = dict(message.headers)["ce_time"].decode()
                assert self.events.setdefault(ce_id, value | {"at": time}) == value | {"at": time}
            elif message.topic == topics.EPISODES:
                self.kept[message.key or b""] = message.value
            elif message.topic == topics.REQUESTS:
                self.asked.append(orjson.loads(message.value or b""))
        for stage in outcome.stages:
            for table, rows in stage.items():
                write_rows(self.parts[table], rows)
        if outcome.more is not None:
            self.steps_more += 1
            self.keep(outcome.more())

    def episodes(self) -> dict[str, str]:
        """The open ones that the compacted topic of episodes holds, by key."""
        return {
            value["key"]: value["episode"]
            for value in map(orjson.loads, filter(None, self.kept.values()))
            if value["transition"] != "resolved"
        }

    def of(self, version: int) -> list[dict[str, Any]]:
        return [event for event in self.events.values() if event["rule_version"] == version]


def split(told: list[Told]) -> tuple[list[Told], list[Told]]:
    """Before and after the moment at which the activation is written, ten seconds ahead of its time."""
    ledgers = [number for number, one in enumerate(told) if one.key == b"mark"]
    middle = ledgers[(EFFECTIVE_US - START_US) // 5_000_000 - 2]
    return told[:middle], told[middle:]


def test_the_versions_share_time_out_between_them() -> None:
    first, second = rule(1), rule(2, "window.lag=5s")
    before, after = split(stream())
    plain = Run([first])
    plain.tell([*before, *after])
    changed = Run([first])
    changed.tell(before)
    changed.activate(activation(second))
    changed.tell(after)

    at = format_time(EFFECTIVE_US)
    assert {event["at"] for event in changed.of(1)} <= {event["at"] for event in plain.of(1)} | {at}
    early = {ce_id: event for ce_id, event in plain.events.items() if event["at"] < at}
    assert early.items() <= changed.events.items()
    ended = [event for event in changed.of(1) if event["at"] >= at]
    assert ended
    assert {(event["at"], event["cause"], event["transition"]) for event in ended} == {
        (at, "rule_changed", "resolved")
    }
    assert changed.of(2)
    assert min(event["since"] for event in changed.of(2)) >= at
    assert [asked["cause"] for asked in changed.asked] == ["rule_change"]


def test_many_open_episodes_end_in_several_steps_and_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = split(stream())
    runs = []
    for at_once in (2000, 1):
        monkeypatch.setattr(versions, "_ENDED_AT_ONCE", at_once)
        run = Run([rule(1)])
        run.tell(before)
        run.activate(activation(rule(2, "window.lag=5s")))
        run.tell(after)
        runs.append(run)

    assert runs[0].events == runs[1].events
    assert (runs[0].steps_more, runs[1].steps_more > 2) == (1, True), "the new one begins in its own"


def test_nothing_of_the_old_version_is_kept() -> None:
    first, second = rule(1), rule(2)
    before, after = split(stream())
    run = Run([first])
    run.tell(before)
    run.activate(activation(second))
    run.tell(after)

    rows = [key for table in (EPISODES, LEFT, RIGHT) for key in run.parts[table]]
    assert rows
    assert not [key for key in rows if key.startswith(b"credit-line|")]
    assert [key for key in rows if key.startswith(b"credit-line@2|")]


def test_what_was_open_under_the_old_version_opens_under_the_new_one_once_that_has_read_it() -> None:
    first, second = rule(1), rule(2)
    before, after = split(stream())
    run = Run([first])
    run.tell(before)
    run.activate(activation(second))
    run.tell(after)
    opened = {event["episode"] for event in run.of(1) if event["transition"] == "opened"}
    closed = {event["episode"] for event in run.of(1) if event["transition"] == "resolved"}

    assert opened == closed, "no episode is orphaned"


@pytest.mark.parametrize("seed", range(4))
def test_restarts_around_an_activation_change_nothing(seed: int) -> None:
    first, second = rule(1), rule(2, "window.lag=5s")
    before, after = split(stream())
    whole, broken, r = Run([first]), Run([first]), random.Random(seed)
    for run in (whole, broken):
        run.tell(before)
        run.activate(activation(second))
    whole.tell(after)
    for one in after:
        broken.tell([one])
        if r.random() < 0.05:
            held = broken.partition.versions.of("credit-line")
            broken.restart([second if held[0].rule.version == 2 or r.random() < 0.5 else first])

    assert broken.events == whole.events


def test_a_worker_with_another_rule_is_refused_and_told_what_to_do() -> None:
    run = Run([rule(1)])
    run.tell(stream()[:50])

    with pytest.raises(Fatal, match=r"rules apply") as refused:
        run.restart([rule(2, "window.lag=5s")])
    assert "version 1" in str(refused.value)
    assert run.parts[EPISODES][versions_key(0)]


def test_a_worker_without_a_rule_that_is_in_force_is_refused() -> None:
    run = Run([rule(1)])
    run.tell(stream()[:50])
    other = load_rules([FILE], ENVIRONMENT, ["rule=another"])

    with pytest.raises(Fatal, match="--retire credit-line"):
        run.restart(list(other))


def test_after_the_takeover_the_old_file_is_refused_and_the_new_one_taken() -> None:
    first, second = rule(1), rule(2, "window.lag=5s")
    before, after = split(stream())
    run = Run([first])
    run.tell(before)
    run.activate(activation(second))
    run.tell(after)

    with pytest.raises(Fatal, match="version 2"):
        run.restart([first])
    run.restart([second])
    told = [orjson.loads(m.value or b"") for m in run.partition.tick().messages if m.topic == topics.STATUS]
    assert {status["rule_version"] for status in told} == {2}


def test_an_activation_that_was_taken_in_before_is_nothing_new() -> None:
    first, second = rule(1), rule(2)
    before, after = split(stream())
    run = Run([first])
    run.tell(before)
    run.activate(activation(second))
    run.activate(activation(second, EFFECTIVE_US + 60_000_000))
    run.activate(activation(rule(1)))
    run.tell(after)
    run.activate(activation(second))

    assert len(run.asked) == 1
    assert [held.rule.version for held in run.partition.versions.of("credit-line")] == [2]


def test_one_that_comes_late_takes_effect_where_nobody_has_judged() -> None:
    first, second = rule(1), rule(2, "window.lag=5s")
    before, after = split(stream())
    run = Run([first])
    run.tell(before)
    verified = run.partition.rules["credit-line"].detector.verified_through
    run.activate(activation(second, START_US))
    run.tell(after)

    assert max(event["at"] for event in run.of(1)) <= format_time(verified + 1)
    assert min(event["since"] for event in run.of(2)) >= format_time(verified + 1)


def test_a_retired_rule_resolves_what_is_open_and_may_be_left_out() -> None:
    first, other = rule(1), load_rules([FILE], ENVIRONMENT, ["rule=another", "confirm=off"])[0]
    before, after = split(stream())
    run = Run([first, other])
    run.tell(before)
    run.activate(Activation("credit-line", 1, first.digest, EFFECTIVE_US, None))
    run.restart()
    run.tell(after)
    mine = [event for event in run.events.values() if event["rule"] == "credit-line"]

    assert max(event["at"] for event in mine) == format_time(EFFECTIVE_US)
    assert {event["cause"] for event in mine if event["at"] == format_time(EFFECTIVE_US)} == {"rule_changed"}
    run.restart([other])
    assert list(run.partition.rules) == ["another"]


@pytest.mark.parametrize("restarts", [False, True])
def test_suspects_of_the_old_version_are_told_before_the_new_one_judges(
    monkeypatch: pytest.MonkeyPatch, restarts: bool
) -> None:
    """What began shortly before `effective` would be told by nobody."""
    first, second = rule(1, confirm="{timeout: 10s}"), rule(2, confirm="off")
    before, after = split(stream())
    run = Run([first])
    run.tell(before)
    assert run.partition.rules["credit-line"].detector.suspects.waiting
    run.activate(activation(second))
    run.tell(after)
    assert run.events == {}

    if restarts:
        run.restart()
    for passed_s in (0, 11, 12):
        monkeypatch.setattr(FrozenClock, "now_us", lambda _, at=NOW_US + passed_s * 1_000_000: at)
        run.keep(run.partition.tick())

    versions_told = [event["rule_version"] for event in run.events.values()]
    assert versions_told == sorted(versions_told)
    assert set(versions_told) == {1, 2}
    opened, resolved = (
        {event["episode"] for event in run.of(1) if event["transition"] == kind}
        for kind in ("opened", "resolved")
    )
    assert opened == resolved
    assert [held.rule.version for held in run.partition.versions.of("credit-line")] == [2]


def test_the_new_version_opens_nothing_before_the_old_one_has_ended() -> None:
    """The topic of episodes keeps one record a key: the old version's tombstone must not hide an episode that
    is open."""
    first, second = rule(1), rule(2, "window.lead=0s")
    run = Run([first])
    run.activate(activation(second))
    run.tell(stream())

    ended = [number for number, event in enumerate(run.events.values()) if event["rule_version"] == 1]
    begun = [number for number, event in enumerate(run.events.values()) if event["rule_version"] == 2]
    assert max(ended) < min(begun)
    still_open = {event["key"]: event["episode"] for event in run.events.values()}
    for event in run.events.values():
        if event["transition"] == "resolved" and still_open.get(event["key"]) == event["episode"]:
            del still_open[event["key"]]
    assert run.episodes() == still_open


def test_a_document_is_the_rule_again() -> None:
    loaded = rule(3, "window.lag=7s")
    again = load_document(loaded.document, loaded.path)

    assert (again.rule, again.digest) == (loaded.rule, loaded.digest)


def test_a_document_that_is_no_rule_is_refused_with_its_problems() -> None:
    with pytest.raises(Fatal, match="kind"):
        load_document('{"rule": "x"}', str(Path("there.yaml")))

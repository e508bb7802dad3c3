"""Which versions of the rules judge in one partition: one a rule, and two of it around an activation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from app.detector.model import Activation, Effect, Resweep
from app.errors import Fatal
from app.ports import Codec
from app.rules import LoadedRule
from app.stream.rule_partition import EPISODES, LEFT, RIGHT, RulePartition, WorkerPlan
from app.stream.work import Part, Rows
from app.telemetry import get_logger

log = get_logger(__name__)

_SWEPT_AT_ONCE: Final = 5000
"""So many rows of a version that has ended are deleted in a step."""
_ENDED_AT_ONCE: Final = 2000
"""So many of its episodes are told to be over in a step."""


def versions_key(partition: int) -> bytes:
    """The reserved key of this record in `episodes`."""
    return b"\0rules|%d" % partition


class Standing(NamedTuple):
    """A version as it is kept: `slot` begins the keys of its rows; it judges from `begins_at` until `ends_at`
    (µs; None: ever)."""

    slot: str
    rule: str
    version: int
    digest: str
    begins_at: int | None
    document: str
    path: str
    ends_at: int | None = None


@dataclass(slots=True)
class Feed:
    """Codecs, and the detectors that they read for, by rule."""

    codecs: Mapping[str, Codec]
    rules: dict[str, RulePartition]


class RuleVersions:
    """The detectors of a partition, by slot. Raises `Fatal` where the worker was given another rule than the
    one that is in force."""

    def __init__(self, plan: WorkerPlan, partition: int, parts: Mapping[str, Part]) -> None:
        self.plan, self.partition, self.parts = plan, partition, parts
        self.held: dict[str, RulePartition] = {}
        self.feeds: list[Feed] = [Feed(plan.codecs, {})]
        self._standing: dict[str, Standing] = {}
        self._ended: list[str] = []
        self._taking_over: list[str] = []
        self._has_changed = False
        self._restore()

    # ---- recovery

    def _restore(self) -> None:
        stored = self.parts[EPISODES].get(versions_key(self.partition))
        kept, self._ended = ([], []) if stored is None else _decode(stored)
        by_rule: dict[str, list[Standing]] = {}
        for standing in kept:
            by_rule.setdefault(standing.rule, []).append(standing)
        for loaded in self.plan.rules:
            versions = by_rule.pop(loaded.rule.id, [])
            if not versions:
                slot = self._free_slot(loaded.rule.id, loaded.rule.version)
                versions = [_standing(slot, loaded, None)]
                self._has_changed = True
            elif loaded.digest not in {each.digest for each in versions}:
                raise _refused(loaded, versions[-1], self.partition)
            for each in versions:
                self._hold(each, loaded if each.digest == loaded.digest else None)
        for rule_id, versions in by_rule.items():
            hint = f"add its file ({versions[-1].path}), or `driftwatch rules apply --retire {rule_id}`"
            raise Fatal("starting the worker", rule_id, "this rule is in force and was not given", hint)

    def _free_slot(self, rule_id: str, version: int) -> str:
        """A rule that was retired may come back while its rows are still being deleted."""
        return rule_id if rule_id not in self._ended else f"{rule_id}@{version}"

    def _hold(self, standing: Standing, loaded: LoadedRule | None) -> None:
        """A version beside the ones before it, which end where it begins."""
        for other in self.held.values():
            if other.rule.id == standing.rule and standing.begins_at is not None:
                other.detector.ends_at = min(other.detector.ends_at, standing.begins_at)
        feed = self.feeds[0]
        if loaded is None:
            loaded, codecs = self._compile(standing)
            feed = Feed(codecs, {})
            self.feeds.append(feed)
        held = RulePartition(self.plan, loaded, self.parts, standing.slot, standing.begins_at)
        held.detector.is_held_back = bool(self.of(standing.rule))
        if standing.ends_at is not None:
            held.detector.ends_at = standing.ends_at
        feed.rules[standing.rule] = held
        self.held[standing.slot] = held
        self._standing[standing.slot] = standing

    def _compile(self, standing: Standing) -> tuple[LoadedRule, Mapping[str, Codec]]:
        if self.plan.compile is None:
            raise Fatal("taking up", standing.rule, "there is nobody to compile its other version")
        return self.plan.compile(standing.document, standing.path)

    # ---- what is asked

    def of(self, rule_id: str) -> list[RulePartition]:
        """The versions of a rule, the one in force first; the next one judges nothing before that is over."""
        return [held for held in self.held.values() if held.rule.id == rule_id]

    def in_force(self) -> Iterator[RulePartition]:
        """Of each rule the version that judges now."""
        seen: set[str] = set()
        for held in self.held.values():
            if held.rule.id not in seen:
                seen.add(held.rule.id)
                yield held

    # ---- activations

    def activate(self, asked: Activation) -> list[Effect]:
        """The present version judges up to `effective`, this one from then on, or none. Repeated, it is
        nothing new. An activation that comes too late takes effect at the first instant that nobody has
        judged."""
        versions = self.of(asked.rule)
        if not versions or self._is_known(asked):
            return []
        newest = versions[-1].detector
        at = max(asked.effective, newest.verified_through + 1)
        if asked.document is None:
            slot = versions[-1].slot
            newest.ends_at = min(newest.ends_at, at)
            self._standing[slot] = self._standing[slot]._replace(ends_at=newest.ends_at)
            self._has_changed = True
            return []
        slot = f"{asked.rule}@{asked.version}"
        standing = Standing(slot, asked.rule, asked.version, asked.digest, at, asked.document, asked.path)
        self._hold(standing, None)
        self._has_changed = True
        log.info(
            "Another version of a rule",
            event_name="rule_activated",
            rule=asked.rule,
            version=asked.version,
            partition=self.partition,
        )
        return [Resweep(asked.rule, "rule_change", at)]

    def _is_known(self, asked: Activation) -> bool:
        mine = [each for each in self._standing.values() if each.rule == asked.rule]
        return any(each.version >= asked.version for each in mine) and asked.document is not None

    @property
    def are_ending(self) -> bool:
        """Has a version judged everything, and not told the end of all its episodes yet, or has the next one
        not taken over?"""
        return bool(self._taking_over) or any(held.detector.is_over for held in self.held.values())

    def finish(self) -> list[Effect]:
        """What is to be told of the versions that have judged everything, a few thousand episodes at once;
        the next ones are in force when that is done. They tell nothing before the step after: if this one is
        repeated, no episode of theirs is ended by it."""
        effects: list[Effect] = []
        for rule_id in self._taking_over:
            for following in self.of(rule_id)[:1]:
                effects += following.detector.take_over()
        self._taking_over.clear()
        for slot, held in list(self.held.items()):
            if not held.detector.is_over:
                continue
            keys = held.keys_with_episodes()
            effects += held.detector.end(keys[:_ENDED_AT_ONCE])
            if len(keys) > _ENDED_AT_ONCE:
                continue
            del self.held[slot], self._standing[slot]
            self._taking_over.append(held.rule.id)
            for feed in self.feeds:
                feed.rules = {rule: each for rule, each in feed.rules.items() if each is not held}
            self.feeds = [self.feeds[0], *(feed for feed in self.feeds[1:] if feed.rules)]
            self._ended.append(slot)
            self._has_changed = True
            self.plan.metrics.retire(held.rule.id, self.partition)
        return effects

    # ---- rows

    def take_rows(self) -> tuple[Rows, list[dict[str, Rows]]]:
        """(which versions there are, where that changed; stages of rows): the first is written before the
        partition's record, so that no version is recovered without its state; afterwards the rows of those
        that have ended go, a few thousand at once."""
        stages: list[dict[str, Rows]] = []
        record: Rows = {}
        if self._ended:
            gone = self._rows_of(self._ended[0])
            if any(gone.values()):
                stages.append(gone)
            else:
                self._ended.pop(0)
                self._has_changed = True
        if self._has_changed:
            self._has_changed = False
            stored = msgspec.msgpack.encode([list(self._standing.values()), self._ended])
            record[versions_key(self.partition)] = stored
        return record, stages

    def _rows_of(self, slot: str) -> dict[str, Rows]:
        prefix, found = f"{slot}|".encode(), dict[str, Rows]()
        left = _SWEPT_AT_ONCE
        for table in (EPISODES, LEFT, RIGHT):
            rows: Rows = {}
            for key in self.parts[table]:
                if len(rows) >= left:
                    break
                if key.startswith(prefix):
                    rows[key] = None
            left -= len(rows)
            found[table] = rows
        return found


def _standing(slot: str, loaded: LoadedRule, begins_at: int | None) -> Standing:
    rule = loaded.rule
    return Standing(slot, rule.id, rule.version, loaded.digest, begins_at, loaded.document, loaded.path)


def _decode(stored: bytes) -> tuple[list[Standing], list[str]]:
    standing, ended = msgspec.msgpack.decode(stored)
    return [Standing(*each) for each in standing], ended


def _refused(loaded: LoadedRule, standing: Standing, partition: int) -> Fatal:
    cause = (
        f"version {standing.version} ({standing.digest[:12]}) is in force in partition {partition}, and "
        f"{loaded.path} is version {loaded.rule.version} ({loaded.digest[:12]})"
    )
    return Fatal("starting the worker", loaded.rule.id, cause, f"`driftwatch rules apply {loaded.path}`")

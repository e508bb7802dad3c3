"""One partition's detectors: records in through codecs, messages and table rows out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, assert_never

from app.detector.model import (
    Activation,
    Blind,
    ClockReading,
    Confirm,
    Effect,
    EpisodeForgotten,
    Gap,
    Incident,
    Input,
    Mark,
    Mute,
    Resweep,
    Seeded,
    Side,
    Transition,
    Unreadable,
    Upgraded,
)
from app.errors import Poison
from app.ports import Record
from app.stream import messages as tell
from app.stream.continuity import Continuity, fed_by
from app.stream.parking import ParkedPlace, decode_place, encode_place, parked_key, place_of
from app.stream.rule_partition import EPISODES, LEFT, RIGHT, RulePartition, WorkerPlan
from app.stream.state import decode_partition, encode_partition, is_settled
from app.stream.versions import Feed, RuleVersions
from app.stream.work import Batch, Message, Outcome, Part, RecordFailed, Rows
from schemas import topics


def partition_key(partition: int) -> bytes:
    """The reserved key of a partition's record in `episodes`; no rule's id begins with a zero byte."""
    return b"\0partition|%d" % partition


class Published(NamedTuple):
    """Values of the transitions that a step tells, and when its batch was read (monotonic seconds)."""

    told: Sequence[Mapping[str, object]]
    polled_s: float


class DriftPartition:
    """A `PartitionWork`: all rules over one partition.

    Built upon recovered rows it schedules every key that is not settled, so that the next mark judges it.
    """

    def __init__(self, plan: WorkerPlan, partition: int, parts: Mapping[str, Part]) -> None:
        self.plan, self.partition, self.parts = plan, partition, parts
        self.changes_topic = plan.names.of(topics.DB_CHANGES)
        self.is_parked = False
        self._record: Record | None = None
        self._polled_s = 0.0
        self._restore()

    def close(self) -> None:
        """The partition is not ours any more."""
        for rule in self.plan.rules:
            self.plan.metrics.retire(rule.rule.id, self.partition)

    # ---- recovery

    def _restore(self) -> None:
        """All detectors as the rows say."""
        self.close()
        self.versions = RuleVersions(self.plan, self.partition, self.parts)
        self._continuity = Continuity(self.plan, {side: self.parts[side.value] for side in Side})
        self._restore_partition()
        self._restore_keys()
        self._show()

    @property
    def rules(self) -> Mapping[str, RulePartition]:
        """All versions of all rules that judge here, by slot."""
        return self.versions.held

    def _show(self) -> None:
        for held in self.versions.in_force():
            self.plan.metrics.held[held.rule.id, self.partition] = held

    def _restore_partition(self) -> None:
        stored = self.parts[EPISODES].get(partition_key(self.partition))
        told = any(not row.startswith(b"\0") for row in self.parts[EPISODES])
        self._continuity.has_taken_up = stored is None and told
        if stored is not None:
            states, offsets, filled = decode_partition(stored)
            self._continuity.restore(offsets, filled)
            for slot, state in states.items():
                if slot in self.rules:
                    self.rules[slot].detector.restore_partition(state)

    def _restore_keys(self) -> None:
        left, right, episodes = self.parts[LEFT], self.parts[RIGHT], self.parts[EPISODES]
        for row, stored_left in left.items():
            self._recover_key(row, is_settled(stored_left, right.get(row), episodes.get(row)))
        for row in right:
            if row not in left:
                self._recover_key(row, is_settled=False)
        for row, stored in episodes.items():
            slot, _, key = row.partition(b"|")
            held = self.rules.get(slot.decode())
            if held is not None:
                held.recover_record(key.decode("utf-8", "surrogatepass"), stored)

    def _recover_key(self, row: bytes, is_settled: bool) -> None:
        slot, _, key = row.partition(b"|")
        held = self.rules.get(slot.decode())
        if held is not None:
            held.keys += 1
            if not is_settled:
                held.look_at(key.decode("utf-8", "surrogatepass"))

    # ---- steps

    def absorb(self, batch: Batch) -> Outcome:
        """Decode and detect; the rows go out in three stages, the partition's record last."""
        outcome = Outcome()
        effects: list[Effect] = []
        for held in self.rules.values():
            effects += held.detector.step_done()
        self._record = batch.records[0]
        try:
            effects += self._continuity.check(batch, self.rules)
            for feed in list(self.versions.feeds):
                self._take_in(batch, feed, effects, outcome)
            self._polled_s = batch.polled_s
            self._complete(effects, outcome)
            self._tell_past_parking(batch, outcome)
        except Exception as error:
            raise RecordFailed(self._record, error) from error
        return outcome

    def _complete(self, effects: list[Effect], outcome: Outcome) -> None:
        self._finish_versions(effects)
        self._tell(effects, outcome)
        self._collect_rows(outcome)
        told = [effect.value for effect in effects if type(effect) is Transition]
        outcome.memo = Published(told, self._polled_s)
        outcome.more = self._find_more()

    def _find_more(self) -> Callable[[], Outcome] | None:
        has_more = any(held.detector.has_more for held in self.rules.values())
        return self._go_on if has_more or self.versions.are_ending else None

    def _go_on(self) -> Outcome:
        """A step over what is due still."""
        outcome = Outcome()
        effects: list[Effect] = []
        for held in self.rules.values():
            effects += held.detector.step_done()
            effects += held.detector.go_on()
        self._complete(effects, outcome)
        return outcome

    def _take_in(self, batch: Batch, feed: Feed, effects: list[Effect], outcome: Outcome) -> None:
        """The batch as one set of codecs reads it; what they cannot read is told once, by the first set."""
        decode = feed.codecs[batch.records[0].topic].decode
        for record in batch.records:
            self._record = record
            try:
                inputs = decode(record)
            except Poison as poison:
                if feed is self.versions.feeds[0]:
                    outcome.messages.append(tell.dead_letter(self.plan.names, record, poison, "decode"))
                    self.plan.metrics.dead_letters.labels("decode").inc()
                continue
            for item in inputs:
                self._feed(item, feed.rules, effects, outcome)

    def _finish_versions(self, effects: list[Effect]) -> None:
        ended = self.versions.finish()
        if ended or len(self.rules) < len(self.plan.metrics.held):
            self._show()
        effects += ended

    def _feed(
        self, item: Input, rules: Mapping[str, RulePartition], effects: list[Effect], outcome: Outcome
    ) -> None:
        """`rules`: those that the item was decoded for."""
        if isinstance(item, Mark):
            for held in fed_by(item.side, item.source, rules):
                effects += held.detector.advance(item)
        elif isinstance(item, Gap | ClockReading):
            self._control_source(item, rules, effects, outcome)
        elif isinstance(item, Activation):
            if rules is self.versions.feeds[0].rules:
                effects += self.versions.activate(item)
        elif isinstance(item, Seeded | Mute | Upgraded | Unreadable):
            if item.rule in rules:
                effects += self._control(rules[item.rule], item, outcome)
        elif item.rule in rules:
            effects += rules[item.rule].detector.observe(item)

    def _control(
        self, held: RulePartition, item: Seeded | Mute | Upgraded | Unreadable, outcome: Outcome
    ) -> list[Effect]:
        """A control of one rule. Rows that cannot be read are told to the other partitions by us: their table
        has lost a column for all of them."""
        effects = held.detector.control(item)
        if isinstance(item, Unreadable) and effects and self._is_change():
            outcome.messages += [
                tell.broadcast_unreadable(self.plan.names, item, partition) for partition in self._others()
            ]
        return effects

    def _is_change(self) -> bool:
        return self._record is not None and self._record.topic == self.changes_topic

    def _others(self) -> list[int]:
        return [each for each in range(self.plan.partitions) if each != self.partition]

    def _control_source(
        self,
        item: Gap | ClockReading,
        rules: Mapping[str, RulePartition],
        effects: list[Effect],
        outcome: Outcome,
    ) -> None:
        """A truncated table is told in one partition only; the others are told by us."""
        for held in fed_by(item.side, item.source, rules):
            effects += held.detector.control(item)
        is_first = rules is self.versions.feeds[0].rules
        if isinstance(item, Gap) and item.cause == "truncate" and self._is_change() and is_first:
            outcome.messages += [
                tell.broadcast_gap(self.plan.names, item, partition) for partition in self._others()
            ]

    def _collect_rows(self, outcome: Outcome) -> None:
        records: Rows = {}
        lefts: Rows = {}
        rights: Rows = {}
        for held in self.rules.values():
            changed_records, changed_lefts, changed_rights = held.take_rows()
            records |= changed_records
            lefts |= changed_lefts
            rights |= changed_rights
        states = {slot: held.detector.partition_state() for slot, held in self.rules.items()}
        filled = self._continuity.find_filled({Side.LEFT: lefts, Side.RIGHT: rights})
        own, gone = self.versions.take_rows()
        own[partition_key(self.partition)] = encode_partition(states, self._continuity.offsets, filled)
        outcome.stages = [{EPISODES: records}, {LEFT: lefts, RIGHT: rights}, {EPISODES: own}, *gone]

    def tick(self) -> Outcome:
        """Which sides are silent, and the status of every rule."""
        outcome = Outcome()
        now = self.plan.clock.now_us()
        if not self.is_parked:
            effects: list[Effect] = []
            for held in self.rules.values():
                effects += held.detector.tick(now)
            self._tell(effects, outcome)
            if any(held.detector.has_changed for held in self.rules.values()):
                self._collect_rows(outcome)
        outcome.messages += [self._status(held, now) for held in self.versions.in_force()]
        outcome.more = None if self.is_parked else self._find_more()
        return outcome

    def park(self, cause: Exception) -> Outcome:
        """Everything as the last good step left it; an incident with the record's coordinates, and the status
        `parked`, per rule."""
        self._restore()
        self.is_parked = True
        outcome = Outcome()
        record = self._record
        if record is not None:
            place = place_of(record, cause)
            outcome.stages = [{EPISODES: {parked_key(self.partition): encode_place(place)}}]
            self._tell_parking(place, None, outcome)
        now = self.plan.clock.now_us()
        for held in self.versions.in_force():
            held.parked = str(cause)
            outcome.messages.append(self._status(held, now))
        return outcome

    def _tell_past_parking(self, batch: Batch, outcome: Outcome) -> None:
        """The record at which this partition stood still once has been taken in now."""
        stored = self.parts[EPISODES].get(parked_key(self.partition))
        if stored is not None:
            place = decode_place(stored)
            if place.is_past(batch):
                outcome.stages[2][EPISODES][parked_key(self.partition)] = None
                self._tell_parking(place, self.plan.clock.now_us(), outcome)

    def _tell_parking(self, place: ParkedPlace, until_us: int | None, outcome: Outcome) -> None:
        for held in self.versions.in_force():
            rule_id = held.rule.id
            incident = place.incident(rule_id, until_us)
            if until_us is None:
                self.plan.metrics.incidents.labels("parked").inc()
            outcome.messages.append(tell.tell_incident(self.plan.names, incident, self.plan.source))

    # ---- telling

    def _tell(self, effects: list[Effect], outcome: Outcome) -> None:
        for effect in effects:
            match effect:
                case Transition():
                    outcome.messages += tell.tell_transition(self.plan.names, effect)
                case EpisodeForgotten():
                    outcome.messages.append(tell.tell_forgotten(self.plan.names, effect))
                case Incident():
                    self._tell_incident(effect, outcome)
                case Confirm():
                    outcome.messages.append(tell.ask_confirm(self.plan.names, effect))
                case Resweep():
                    outcome.messages.append(tell.ask_resweep(self.plan.names, effect))
                case Blind():
                    self._see_blindness(effect)
                case _:
                    assert_never(effect)
        now = self.plan.clock.now_us()
        for held in self.versions.in_force():
            if held.has_news(now):
                outcome.messages.append(self._status(held, now))

    def _see_blindness(self, effect: Blind) -> None:
        for held in self.versions.of(effect.rule):
            held.see_blindness(effect)

    def _tell_incident(self, incident: Incident, outcome: Outcome) -> None:
        """Told and, where the loss asks for it by itself, swept; one that ends is not counted again."""
        if incident.until_us is None or incident.cause not in tell.OWN_END:
            self.plan.metrics.incidents.labels(incident.cause).inc()
        outcome.messages.append(tell.tell_incident(self.plan.names, incident, self._source_of(incident)))
        request = tell.ask_sweep(self.plan.names, incident)
        if request is not None:
            outcome.messages.append(request)

    def _status(self, held: RulePartition, now: int) -> Message:
        return tell.tell_status(self.plan.names, held.rule.id, self.partition, held.status(now))

    def _source_of(self, incident: Incident) -> str | None:
        rule = next(each.rule for each in self.plan.rules if each.rule.id == incident.rule)
        if incident.side is Side.LEFT:
            return rule.left_source or self.plan.source
        return rule.right_source

    def published(self, outcome: Outcome) -> None:
        """Count what is acknowledged, and how long it took since the batch with its mark was read."""
        if isinstance(outcome.memo, Published):
            metrics = self.plan.metrics
            latency_s = self.plan.clock.monotonic_s() - outcome.memo.polled_s
            for value in outcome.memo.told:
                metrics.mismatches.labels(value["rule"], value["severity"], value["transition"]).inc()
                metrics.latency.observe(latency_s)

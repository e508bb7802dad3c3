"""One rule in one partition: observations and marks in, effects out; nothing after T is ever judged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, assert_never

from app.detector.episode import Teller
from app.detector.judge import Judge
from app.detector.keys import Changed, Held, Keys
from app.detector.model import (
    INFINITY,
    SECOND,
    ClockReading,
    Control,
    Effect,
    Gap,
    Incident,
    Mark,
    Mute,
    Observation,
    Resweep,
    Rule,
    Seeded,
    Side,
    Unreadable,
    Upgraded,
)
from app.detector.observing import Observer
from app.detector.past import Loss, Sweep
from app.detector.proofs import Proofs
from app.detector.schedule import Schedule
from app.detector.suspects import Suspects
from app.detector.timeline import KeyState
from app.detector.trust import Trust
from app.detector.unverifiable import UnverifiableLog
from app.detector.watermark import Watermark

__all__ = ["Changed", "Detector", "Held"]

SPREAD: Final = 30
LOT: Final = 20_000
"""A step that looks at all of a million keys would stand still for as long as a frozen process."""


class Detector:
    """Holds no clock and does no I/O: the same inputs give the same transitions in any arrival order.

    `from_empty`: the log begins at the birth of both histories (horizon minus infinity, value absent).
    `held`: where the states of keys are that are not in memory. `confirmed`: "live" asks for a live read of
    both sides before an episode opens; anything else opens at once, and is told as `drift_confirmed`.
    """

    def __init__(
        self,
        rule: Rule,
        *,
        from_empty: bool = False,
        held: Held | None = None,
        confirmed: str = "off",
        log: UnverifiableLog | None = None,
    ) -> None:
        self.rule = rule
        self.left = Watermark(Side.LEFT, from_empty=from_empty)
        self.right = Watermark(Side.RIGHT, from_empty=from_empty)
        self.verified_through = -INFINITY
        self.trust = Trust(rule, self.left, self.right)
        self._proofs = Proofs(self.left)
        self.keys = Keys(self.left, self.right, held)
        self.keys.log = log
        self.mutes: list[Mute] = []
        self._events = (0, 0)
        self._schedule = Schedule()
        self._teller = Teller(rule, confirmed)
        self.suspects = Suspects(rule, self.keys, confirmed)
        self._judge = Judge(self._teller, self.keys, self._schedule, self.suspects)
        self._room = INFINITY
        self._observer = Observer(self.suspects, self._schedule, self.trust, self._proofs)
        self.ends_at = INFINITY
        """From here on another version of the rule judges."""
        self.is_held_back = False
        """The version before is not over: nothing is judged."""
        self.has_more = False
        """Keys are due that the last step had no room for."""
        self._complete_through = -INFINITY
        self._before = rule.window.lead_us + rule.window.skew_us

    # ---- inputs

    def observe(self, observation: Observation) -> list[Effect]:
        """Take one observation of this rule in; told at most an incident, never a verdict: those come with
        marks."""
        return self._observer.observe(observation)

    def advance(self, mark: Mark) -> list[Effect]:
        """Move a side's watermark and judge every key that is due at or before T; others cost nothing."""
        watermark = self._watermark_of(mark.side)
        past, before = len(watermark.past), (self.left.at, self.right.at)
        effects: list[Effect] = [self._tell_loss(gap) for gap in watermark.advance(mark)]
        if len(watermark.past) > past:
            self._look_again(watermark)
        effects += [*self._proofs.take(), *self.trust.see_mark(mark, before)]
        self._note_losses()
        self._judge_due(effects)
        self._look_at(self.suspects.answering, effects)
        return effects

    def _judge_due(self, effects: list[Effect]) -> None:
        if self.trust.is_blind or self.is_held_back:
            return
        through = self._reached()
        if through > self.verified_through:
            if not self.has_more:
                self._complete_through = self.verified_through
            self.verified_through = through
            self._judge_more(effects)

    def _reached(self) -> int:
        """T, as the marks of both sides have it."""
        return min(self.left.at, self.right.at - self._before, self.ends_at - 1)

    def _judge_more(self, effects: list[Effect]) -> None:
        through = self.verified_through
        self.has_more = self._schedule.has_due(through)
        if self.has_more:
            self._teller.decided = (through, self.left.at, self.right.at)
            self.has_more = self._judge.judge_due(through, effects)

    def go_on(self) -> list[Effect]:
        """Judge what the steps before had no room for (`has_more`)."""
        effects: list[Effect] = []
        self._judge_more(effects)
        return effects

    @property
    def judged_through(self) -> int:
        """Up to when every key is judged: T, but while `has_more` what was complete before."""
        return self._complete_through if self.has_more else self.verified_through

    def _look_at(self, keys: Iterable[str], effects: list[Effect]) -> None:
        """Once more at keys of which something was learned about what is judged already."""
        self._teller.decided = (self.verified_through, self.left.at, self.right.at)
        for key in sorted(keys):
            self._judge.judge(key, self.verified_through, effects)

    def limit_steps(self, room: int) -> None:
        """Until `step_done`, judge no more of what is due than there is room for (`Judge.judge_due`); the
        rest with the next mark, or in `go_on`. Without it a mark judges everything."""
        self._judge.room = self._room = room

    # ---- versions of a rule

    def begin(self, at: int) -> None:
        """Judge nothing before `at`: another version of the rule does. Before the first input."""
        self._judge.begins_at = at
        self.verified_through = max(self.verified_through, at - 1)

    @property
    def is_over(self) -> bool:
        """Is everything judged that this version is to judge (`ends_at`), and told?"""
        is_judged = self.verified_through >= self.ends_at - 1 and not self.has_more
        return is_judged and not self.suspects.waiting

    def take_over(self) -> list[Effect]:
        """The version before is over: judge what has waited for that."""
        self.is_held_back = False
        effects: list[Effect] = []
        self._judge_due(effects)
        return effects

    def end(self, keys: Iterable[str]) -> list[Effect]:
        """Resolve what is open at `ends_at`, where another version takes over, and forget every episode of
        `keys`."""
        self._teller.decided = (self.verified_through, self.left.at, self.right.at)
        effects: list[Effect] = []
        for key in sorted(keys):
            self._judge.end(key, self.ends_at, effects)
        return effects

    def control(self, record: Control) -> list[Effect]:
        """A seed that finished, a declared loss of input, a mute, or what is known of clocks and forms."""
        effects = self._take_control(record)
        self._note_losses()
        return effects

    def _take_control(self, record: Control) -> list[Effect]:
        if isinstance(record, Gap):
            watermark = self._watermark_of(record.side)
            effects: list[Effect] = [self._tell_loss(gap) for gap in watermark.lose(record)]
            self._judge_due(effects)
            return effects
        if isinstance(record, Seeded):
            watermark = self._watermark_of(record.side)
            past = len(watermark.past)
            watermark.seed(record)
            if len(watermark.past) > past:
                self._look_again(watermark)
            return self.trust.see_seeded()
        if isinstance(record, Mute):
            self._mute(record)
        elif isinstance(record, ClockReading):
            return self.trust.see_reading(record)
        elif isinstance(record, Unreadable):
            return self.trust.see_unreadable(record)
        elif isinstance(record, Upgraded):
            return [Resweep(self.rule.id, "upgrade", record.at)]
        else:
            assert_never(record)
        return []

    def _note_losses(self) -> None:
        """Was something lost, or made up for, since the last call?"""
        events = (len(self.left.past), len(self.right.past))
        if events != self._events:
            self._events = events
            lost = [isinstance(each.past.last, Loss) for each in (self.left, self.right) if each.past]
            self._judge.one_sided.lose(is_lost=any(lost))
            self.suspects.look_again()

    def count_unverifiable(self, held: int) -> int:
        """How many of all keys that are held have a newest piece on a side that is unknown."""
        return self._judge.one_sided.count(held)

    def _watermark_of(self, side: Side) -> Watermark:
        return self.left if side is Side.LEFT else self.right

    def _look_again(self, watermark: Watermark) -> None:
        """After a seed, at the keys that waited for it, `LOT` a second. After a sweep that ends a loss, at
        every key: what it did not meet is absent, and nothing else will say so; one in `SPREAD` a second."""
        for number, key in enumerate(self._judge.one_sided):
            self._schedule.put(key, self.verified_through + 1 + number // LOT * SECOND)
        self._judge.one_sided.clear()
        if isinstance(watermark.past.last, Sweep) and watermark.past.losses:
            for number, key in enumerate(self.keys.every()):
                self._schedule.put(key, self.verified_through + 1 + number % SPREAD * SECOND)

    def _mute(self, mute: Mute) -> None:
        """In force for what is not judged yet: the key is looked at where the mute begins and ends."""
        exemptions = self._judge.comparison.exemptions
        if mute in exemptions:
            return
        exemptions.append(mute)
        self.mutes.append(mute)
        for key in self.keys.open if mute.key is None else (mute.key,):
            self._schedule.put(key, max(mute.from_us, self.verified_through + 1))

    def tick(self, now_us: int) -> list[Effect]:
        """Processing time passes: which sides have fallen silent or speak again, and which suspects have
        waited for too long. What that changes is durable before the next call."""
        effects: list[Effect] = [*self.left.tick(self.rule, now_us), *self.right.tick(self.rule, now_us)]
        self._look_at(self.suspects.tick(now_us), effects)
        return effects

    def keep_log(self, log: UnverifiableLog) -> None:
        """Note there what cannot be judged from now on; a log outlives a restart."""
        self.keys.log = log

    def finish_log(self) -> None:
        """No more input follows: what is unknown still is in the log without an end."""
        self._judge.note_open_ends()

    # ---- persistence

    def take_changed(self) -> Changed:
        """The keys whose state must be made durable; afterwards none are."""
        changed, self.keys.changed = self.keys.changed, Changed(set(), set(), set())
        return changed

    @property
    def has_changed(self) -> bool:
        """Must any key's state be made durable?"""
        return any(self.keys.changed)

    def step_done(self) -> list[Effect]:
        """All that was changed is durable now: delete the records that waited for it, let go of cold
        states."""
        self._judge.room = self._room
        effects = self._judge.delete_buried()
        if not effects:
            self.keys.let_go()
        return effects

    def snapshot(self, key: str) -> KeyState | None:
        """Everything held about a key."""
        return self.keys.find(key)

    def restore(self, key: str, state: KeyState) -> None:
        """Hold a state again, and look at it at the next mark."""
        self.keys.live[key] = state
        self.schedule(key)
        if state.suspect is not None:
            self.suspects.restore(key)

    def schedule(self, key: str, later_s: int = 0) -> None:
        """Look at a key at the next mark, or when T has come so much further (after recovery: every key that
        is not quiet)."""
        self._schedule.put(key, self.verified_through + later_s * SECOND if later_s else -INFINITY)

    def watermarks(self) -> tuple[int, int]:
        """(left, right) in µs; -INFINITY before the first mark."""
        return self.left.at, self.right.at

    def partition_state(self) -> list[object]:
        """What must be durable beside the keys, in plain types; written after them."""
        held_at = self.verified_through if self.trust.is_blind or self.is_held_back else None
        mutes = [list(mute) for mute in self.mutes]
        sides, clocks = [self.left.plain(), self.right.plain()], self.trust.clocks.plain()
        return [*sides, mutes, clocks, [held_at], self._proofs.plain()]

    def restore_partition(self, state: Sequence[Sequence[object]]) -> None:
        """The opposite of `partition_state`; T follows from the watermarks."""
        left, right, mutes, clocks, [held_at], proofs = state
        self._proofs.restore(proofs)  # type: ignore[arg-type]
        self.trust.clocks.restore(clocks)
        self.left.restore(left)
        self.right.restore(right)
        self.mutes = [Mute(*mute) for mute in mutes]  # type: ignore[misc]
        self._judge.comparison.exemptions += self.mutes
        through = max(self.verified_through, self._reached())
        self.verified_through = held_at if isinstance(held_at, int) else through
        self._note_losses()

    @property
    def states(self) -> dict[str, KeyState]:
        """The live states; a key that is not here is held as it was last made durable, or not at all."""
        return self.keys.live

    @property
    def counts(self) -> dict[str, int]:
        """What happened, by name, since the start of this process."""
        return self.keys.counts

    @property
    def open_by_severity(self) -> dict[str, int]:
        """How many episodes are open, by severity."""
        found: dict[str, int] = {}
        for severity in self.keys.open.values():
            found[severity] = found.get(severity, 0) + 1
        return found

    def _tell_loss(self, gap: Gap) -> Incident:
        self.keys.count("gaps")
        start, until = gap.from_us or 0, gap.until_us
        return Incident(self.rule.id, None, gap.cause, gap.side, start, until, "input of the source was lost")

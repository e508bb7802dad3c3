"""Which targets are told what."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from app.desk.notifier.deciding import Decider, wants
from app.desk.notifier.flapping import Limits
from app.desk.notifier.targets import Target
from app.detector.model import SECOND
from app.notices import Decided, Flapping, Grouping, Kind, Known, Lane, Notice, Severity, Transition
from tests.support.webhooks import RULE
from tests.unit.desk.notifier.transitions import at, target

LIMITS = {RULE: Limits(flaps=3, within_us=100 * SECOND)}
ENDS = frozenset({Kind.OPENED, Kind.RESOLVED})


class Memory:
    """Decides one transition after the other, and remembers as the outbox does."""

    def __init__(self, *targets: Target) -> None:
        self.decider = Decider(targets, LIMITS)
        self.told: set[tuple[str, str]] = set()
        self.flapping: dict[Lane, Flapping] = {}
        self.notices: list[Notice] = []

    def tell(self, *arrived: Transition) -> Sequence[Notice]:
        return self._keep(self.decider.decide(arrived, Known(frozenset(self.told), self.flapping)))

    def calm(self) -> Sequence[Notice]:
        return self._keep(self.decider.decide_calm(dict(self.flapping)))

    def _keep(self, decided: Decided) -> Sequence[Notice]:
        for lane, (state, _) in decided.flapping.items():
            self.flapping[lane] = state
            if state.is_empty:
                del self.flapping[lane]
        self.told |= {(each.target, each.episode) for each in decided.notices if each.episode}
        self.notices += decided.notices
        return decided.notices


def said(notices: Sequence[Notice]) -> list[tuple[str, str]]:
    return [(notice.target, notice.kind.value) for notice in notices]


def story(*kinds: str, key: str = "K", start: int = 0) -> list[Transition]:
    """One transition every ten seconds."""
    return [at(10 * number, kind, number, key=key) for number, kind in enumerate(kinds, start)]


FLAPPING = story("opened", *["resolved", "reopened"] * 4)


@pytest.mark.parametrize(
    ("kind", "severity", "is_known", "is_wanted"),
    [
        ("opened", "high", False, True),
        ("opened", "medium", False, False),
        ("updated", "high", False, True),  # it rose to the minimum: this target's opening
        ("updated", "high", True, False),
        ("resolved", "low", True, True),  # the end of what it knows
        ("resolved", "low", False, False),
        ("reopened", "critical", True, False),
    ],
)
def test_a_target_hears_of_what_is_severe_enough_and_of_the_end_of_what_it_knows(
    kind: str, severity: str, is_known: bool, is_wanted: bool
) -> None:
    strict = target(severity=Severity.HIGH, transitions=ENDS)
    assert wants(strict, at(0, kind, severity=severity), is_known=is_known) is is_wanted


def test_a_target_hears_of_its_rules_only() -> None:
    assert not wants(target(rules=frozenset({"another"})), at(0, "opened"), is_known=True)


def test_what_is_known_is_known_within_one_batch() -> None:
    strict = Memory(target(severity=Severity.HIGH))
    notices = strict.tell(
        at(0, "opened", 0, severity="high"),
        at(1, "updated", 1, severity="low"),
        at(2, "resolved", 2, severity="low"),
    )
    assert said(notices) == [("t", "opened"), ("t", "updated"), ("t", "resolved")]


def test_a_notice_has_the_id_of_its_event_and_is_held_where_there_is_a_window() -> None:
    memory = Memory(target("a"), target("b", group=Grouping(window_s=0)))
    opened = at(0, "opened")
    assert [(each.id, each.is_held) for each in memory.tell(opened)] == [
        (opened.id, True),
        (opened.id, False),
    ]


def test_a_key_that_flaps_is_told_once_and_then_nothing() -> None:
    told = Memory(target()).tell(*FLAPPING)
    assert said(told) == [
        ("t", "opened"),
        *[("t", "resolved"), ("t", "reopened")] * 2,
        ("t", "resolved"),
        ("t", "flapping"),
    ]


def test_it_is_the_same_whether_they_come_at_once_or_one_by_one() -> None:
    at_once, one_by_one = Memory(target()), Memory(target())
    at_once.tell(*FLAPPING)
    for each in FLAPPING:
        one_by_one.tell(each)
    assert at_once.notices == one_by_one.notices
    assert at_once.flapping == one_by_one.flapping


def test_other_keys_are_told_meanwhile() -> None:
    memory = Memory(target())
    memory.tell(*FLAPPING)
    assert said(memory.tell(at(80, "opened", key="L"))) == [("t", "opened")]


def test_once_it_is_calm_it_is_told_how_it_stands() -> None:
    memory = Memory(target())
    memory.tell(*FLAPPING, *story("resolved", start=9))
    (calm,) = memory.calm()
    assert calm.kind is Kind.CALM
    assert '"quiet":3' in calm.payload
    assert '"transition":"resolved"' in calm.payload
    assert memory.flapping == {}


def test_the_next_transition_after_calm_ends_it_and_is_told() -> None:
    memory = Memory(target())
    memory.tell(*FLAPPING)
    assert said(memory.tell(at(180, "updated", 9))) == [("t", "calm"), ("t", "updated")]
    assert said(memory.calm()) == []


def test_calm_is_the_same_notice_however_it_is_noticed() -> None:
    by_clock, by_transition = Memory(target()), Memory(target())
    by_clock.tell(*FLAPPING)
    by_transition.tell(*FLAPPING)
    assert by_clock.calm()[0] == by_transition.tell(at(180, "updated", 9))[0]


def test_a_key_that_was_reopened_and_never_flapped_is_forgotten_in_silence() -> None:
    memory = Memory(target())
    memory.tell(*story("opened", "resolved", "reopened"))
    assert memory.calm() == []
    assert memory.flapping == {}


def test_who_was_not_told_that_it_flaps_hears_of_it_when_it_gets_severe() -> None:
    memory = Memory(target("all"), target("strict", severity=Severity.CRITICAL))
    mild = [
        at(each.at_us // SECOND - at(0, "opened").at_us // SECOND, each.kind, number, severity="medium")
        for number, each in enumerate(FLAPPING)
    ]
    memory.tell(*mild)
    assert "strict" not in {each.target for each in memory.notices}
    assert said(memory.tell(at(90, "updated", 9))) == [("strict", "flapping")]
    assert said(memory.tell(at(91, "updated", 10))) == []
    assert said(memory.calm()) == [("all", "calm"), ("strict", "calm")]
    assert {each.id for each in memory.notices if each.kind is Kind.FLAPPING} == {
        each.id for each in memory.notices[:-3] if each.kind is Kind.FLAPPING
    }


def test_a_long_key_is_ordered_by_a_short_name_of_it() -> None:
    (notice,) = Memory(target()).tell(at(0, "opened", key="x" * 5000))
    assert notice.lane is not None
    assert len(notice.lane) == 32

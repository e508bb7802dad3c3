"""A detector told in seconds: short words for its inputs, and what it published so far."""

from __future__ import annotations

from fractions import Fraction

from app.detector.detector import Detector
from app.detector.model import (
    ABSENT,
    SECOND,
    Confirm,
    Effect,
    EntryAsOf,
    EntryEvent,
    EntryRead,
    Field,
    FieldType,
    Gap,
    Incident,
    Mark,
    RowAsOf,
    RowChange,
    Rule,
    Seeded,
    Severity,
    Side,
    Snapshot,
    Transition,
    Value,
    Window,
)
from app.detector.unverifiable import UnverifiableLog

KEY = "GA"
LIMIT = Field("limit", FieldType.AMOUNT, 2, ((-1, Severity.LOW), (1000, Severity.HIGH)))
STATUS = Field("status", FieldType.TEXT)
NEAR = Field("near", FieldType.INTEGER, absolute=5, relative=Fraction(1, 10))
NOTHING_SEEN = Snapshot(1, 1, frozenset())
EVERYTHING_SEEN = Snapshot(1_000_000, 1_000_000, frozenset())


def us(seconds: float) -> int:
    """Seconds as event time."""
    return round(seconds * SECOND)


def rule_of(*fields: Field, **changes: object) -> Rule:
    """A rule with lag 30 s, lead 10 s, skew 2 s, min 2 s: widened, [t - 32 s, t + 12 s]."""
    return Rule("r", 1, fields or (LIMIT, STATUS), Window(), **changes)  # type: ignore[arg-type]


class Story:
    """One key's story. A ledger closes every 5 s: ledger n at 5 n seconds. Lsn and event ids count up."""

    def __init__(
        self, rule: Rule | None = None, *, from_empty: bool = True, confirmed: str = "replay"
    ) -> None:
        self.log = UnverifiableLog()
        self.rule = rule or rule_of()
        self.detector = Detector(self.rule, from_empty=from_empty, confirmed=confirmed, log=self.log)
        self.told: list[Transition] = []
        self.incidents: list[Incident] = []
        self.asked: list[Confirm] = []
        self.lsn = 0

    def take(self, effects: list[Effect]) -> list[Effect]:
        """Keep what was published."""
        self.told += [effect for effect in effects if isinstance(effect, Transition)]
        self.incidents += [effect for effect in effects if isinstance(effect, Incident)]
        self.asked += [effect for effect in effects if isinstance(effect, Confirm)]
        return effects

    def row(
        self,
        at: float,
        after: Value,
        before: Value | None = None,
        *,
        row: int = 1,
        key: str = KEY,
        lsn: int | None = None,
        tx: int | None = None,
        linked: str | None = None,
    ) -> None:
        """A committed change."""
        self.lsn = self.lsn + 10 if lsn is None else lsn
        tx = self.lsn if tx is None else tx
        change = RowChange("r", key, row, self.lsn, us(at), before, after, tx, linked)
        self.take(self.detector.observe(change))

    def event(self, ledger: int, *, key: str = KEY, number: int = 0) -> None:
        """A contract event."""
        event = EntryEvent("r", key, ledger, us(ledger * 5), f"tx{ledger}", f"{ledger}-{number}")
        self.take(self.detector.observe(event))

    def read(
        self, modified: int, value: Value, *, read: int | None = None, key: str = KEY, dated: bool = True
    ) -> None:
        """An entry read because an event named it."""
        read = modified if read is None else read
        modified_at = us(modified * 5) if dated else None
        found = EntryRead("r", key, value, modified, modified_at, read, us(read * 5), f"{modified}-0")
        self.take(self.detector.observe(found))

    def entry(self, ledger: int, value: Value, *, key: str = KEY) -> None:
        """An event, and the entry as it is since."""
        self.event(ledger, key=key)
        self.read(ledger, value, key=key)

    def row_as_of(
        self,
        at: float,
        value: Value,
        *,
        row: int | None = 1,
        seen: Snapshot = EVERYTHING_SEEN,
        key: str = KEY,
        besides: tuple[int, ...] = (),
    ) -> None:
        """A row as a snapshot saw it; without a row: no other one but `besides`."""
        self.take(self.detector.observe(RowAsOf("r", key, row, value, seen, us(at), besides)))

    def answer(self, at: float, rows: dict[int, Value], ledger: int, entry: Value, modified: int) -> None:
        """A live read of both sides: all rows under the key, then the entry."""
        for row, value in rows.items():
            self.row_as_of(at, value, row=row)
        self.row_as_of(at, ABSENT, row=None, besides=tuple(rows))
        self.entry_as_of(ledger, entry, modified=modified)

    def tick(self, at: float) -> list[Effect]:
        """Processing time passes."""
        return self.take(self.detector.tick(us(at)))

    def entry_as_of(
        self, ledger: int, value: Value, *, modified: int = -1, dated: bool = True, key: str = KEY
    ) -> None:
        """An entry as a ledger held it."""
        modified_at = us(modified * 5) if dated and modified >= 0 else None
        self.take(
            self.detector.observe(EntryAsOf("r", key, value, modified, modified_at, ledger, us(ledger * 5)))
        )

    def left_mark(self, at: float, epoch: str | None = None) -> list[Effect]:
        """The left side promises everything before `at`."""
        return self._mark(Mark(Side.LEFT, "db", us(at) - 1, epoch))

    def right_mark(self, ledger: int, first: int | None = None) -> list[Effect]:
        """The right side promises every ledger up to this one."""
        return self._mark(Mark(Side.RIGHT, "net", us(ledger * 5), None, ledger, first))

    def _mark(self, mark: Mark) -> list[Effect]:
        effects = self.take(self.detector.advance(mark))
        return effects + self.detector.step_done()

    def until(self, at: float) -> None:
        """Everything up to about `at` is judged: T = at - 1 µs."""
        self.right_mark(-(-round(at + 12) // 5))
        self.left_mark(at)

    def gap(self, side: Side, start: float | None, until: float | None, cause: str = "offsets") -> None:
        """Input was lost."""
        from_us = None if start is None else us(start)
        until_us = None if until is None else us(until)
        self.take(self.detector.control(Gap(side, None, from_us, until_us, cause)))

    def seeded(self, side: Side, at: float, through: float | None = None) -> None:
        """A seed or sweep of a side is complete."""
        through_us = None if through is None else us(through)
        self.take(self.detector.control(Seeded("r", side, us(at), through_us)))

    @property
    def lines(self) -> list[str]:
        """What was published, as `transition seconds field…`."""
        return [self._line(told) for told in self.told]

    def _line(self, told: Transition) -> str:
        fields = " ".join(str(d["field"]) for d in told.value["differences"])  # type: ignore[attr-defined]
        return f"{told.value['transition']} {told.ce_time[14:-1]} {fields}".rstrip()

    @property
    def counts(self) -> dict[str, int]:
        """What the detector counted."""
        return self.detector.counts

    def left_versions(self, row: int = 1, key: str = KEY) -> list[tuple[float, Value]]:
        """The versions of a row, in seconds."""
        state = self.detector.snapshot(key)
        assert state is not None
        assert state.left is not None
        return [(version.at / SECOND, version.value) for version in state.left.rows[row].versions]

    def right_versions(self, key: str = KEY) -> list[tuple[float, Value]]:
        """The versions of the entry, in seconds."""
        state = self.detector.snapshot(key)
        assert state is not None
        assert state.right is not None
        return [(version.at / SECOND, version.value) for version in state.right.versions]


def agreed(story: Story, value: Value = (100, "a")) -> Story:
    """Both sides hold the value since 100 s, and that is judged."""
    story.entry(20, value)
    story.row(101, value, ABSENT)
    story.until(150)
    assert story.lines == []
    return story


def drifting(story: Story) -> Story:
    """The entry leaves the row's value at 200 s, and the row stays: drift from 232 s."""
    agreed(story).entry(40, (300, "a"))
    story.until(260)
    return story


def look_again(story: Story, at: float) -> None:
    """Nothing happened, and the key is looked at all the same."""
    story.detector.schedule(KEY)
    story.until(at)

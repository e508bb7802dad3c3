"""What is drawn of a key, free of any medium: lanes of spans over one stretch of event time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from app.detector.model import ABSENT, OUT, SECOND, UNKNOWN, Field, Transition, Window
from app.detector.values import format_time, show

MARGIN_US: Final = 60 * SECOND
FAR: Final = 1 << 59
"""Beyond any date: where a span has no beginning or no end."""

Interval = tuple[int, int]


class Kind(StrEnum):
    """What a span says."""

    PRESENT = "present"
    ABSENT = "absent"
    OUT = "out of scope"
    UNKNOWN = "unverifiable"
    EXPECTED = "drift by the definition"
    TOLD = "drift as told"
    JUDGED = "judged, in sync"


class Span(NamedTuple):
    """[start, until) of a lane. `reach`: from when to when a right value excuses an equal left one."""

    start: int
    until: int
    kind: Kind
    text: str = ""
    reach: Interval | None = None


class Lane(NamedTuple):
    """One line of a picture; spans in order of time, not overlapping."""

    name: str
    spans: tuple[Span, ...]


class Moment(NamedTuple):
    """Something that was told of an instant."""

    at: int
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything about one key in [start, until)."""

    title: str
    start: int
    until: int
    lanes: tuple[Lane, ...]
    moments: tuple[Moment, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Story:
    """What is known of a key. Pieces are (begin, value), the first one before all time; intervals are by the
    left's clock. `expected`: by field, None where nobody worked it out."""

    rule: str
    key: str
    fields: Sequence[Field]
    window: Window
    left: Sequence[tuple[int, object]]
    right: Sequence[tuple[int, object]]
    judged_until: int
    expected: Mapping[str, Sequence[Interval]] | None = None
    told: Sequence[Interval] = ()
    unknown_left: Sequence[Interval] = ()
    unknown_right: Sequence[Interval] = ()
    transitions: Sequence[Transition] = ()
    notes: list[str] = field(default_factory=list)


def draw(story: Story, span: Interval | None = None) -> Picture:
    """The picture of a story. `span`: what of it (default: from the first to the last thing that matters)."""
    start, until = span or _find_span(story)
    lanes = [
        Lane("left", _side(story, story.left, story.unknown_left, None)),
        Lane("right", _side(story, story.right, story.unknown_right, story.window)),
    ]
    if story.expected is not None:
        lanes += [
            Lane(f"expected: {name}", _spans(mine, Kind.EXPECTED))
            for name, mine in story.expected.items()
            if mine
        ] or [Lane("expected", ())]
    lanes.append(Lane("told", _spans(story.told, Kind.TOLD)))
    unknown = [*story.unknown_left, *_widen(story.unknown_right, story.window)]
    if unknown:
        lanes.append(Lane("unverifiable", _spans(_join(unknown), Kind.UNKNOWN)))
    clipped = tuple(Lane(lane.name, _clip(lane.spans, start, until)) for lane in lanes)
    moments = tuple(_moment(told) for told in story.transitions)
    title = f"{story.rule}: {story.key}"
    return Picture(title, start, until, clipped, moments, (_window_note(story.window), *story.notes))


def _find_span(story: Story) -> Interval:
    """Around the drift there is, else the whole life."""
    points = [point for mine in (story.expected or {}).values() for span in mine for point in span]
    points += [point for span in story.told for point in span]
    if not points:
        points = [begin for pieces in (story.left, story.right) for begin, _ in pieces]
    points = [point for point in points if -FAR < point < FAR and point <= story.judged_until]
    if not points:
        return story.judged_until - MARGIN_US, story.judged_until
    return min(points) - MARGIN_US, min(max(points) + MARGIN_US, max(story.judged_until, max(points) + 1))


def _side(
    story: Story, pieces: Sequence[tuple[int, object]], unknown: Sequence[Interval], window: Window | None
) -> tuple[Span, ...]:
    spans = []
    for i, (begin, value) in enumerate(pieces):
        until = pieces[i + 1][0] if i + 1 < len(pieces) else FAR
        reach = None if window is None else (begin - window.lead_us, until + window.lag_us)
        spans.append(Span(begin, until, _kind_of(value), describe(story.fields, value), reach))
    return _lay_over(spans, _join(unknown))


def _lay_over(spans: Sequence[Span], unknown: Sequence[Interval]) -> tuple[Span, ...]:
    """What was unknown is drawn as unknown, whatever really was."""
    found: list[Span] = []
    for span in spans:
        start = span.start
        for begin, end in unknown:
            if end <= start or begin >= span.until:
                continue
            if begin > start:
                found.append(span._replace(start=start, until=begin))
            found.append(Span(max(begin, start), min(end, span.until), Kind.UNKNOWN, f"? {span.text}"))
            start = min(end, span.until)
        if start < span.until:
            found.append(span._replace(start=start))
    return tuple(found)


def _kind_of(value: object) -> Kind:
    if value == ABSENT:
        return Kind.ABSENT
    if value == OUT:
        return Kind.OUT
    return Kind.UNKNOWN if value == UNKNOWN else Kind.PRESENT


def describe(fields: Sequence[Field], value: object) -> str:
    """A value in a few words; sensitive fields are left out."""
    if not isinstance(value, tuple):
        return str(value)
    parts = zip(fields, value, strict=False)
    return " ".join(str(show(each, scalar)) for each, scalar in parts if each.sensitive is None)


def _spans(intervals: Iterable[Interval], kind: Kind) -> tuple[Span, ...]:
    return tuple(Span(start, until, kind) for start, until in sorted(intervals))


def _widen(intervals: Iterable[Interval], window: Window) -> list[Interval]:
    before, after = window.lead_us + window.skew_us, window.lag_us + window.skew_us
    return [(start - before, until + after) for start, until in intervals]


def _join(intervals: Iterable[Interval]) -> list[Interval]:
    joined: list[Interval] = []
    for start, until in sorted(intervals):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], until))
        else:
            joined.append((start, until))
    return joined


def _clip(spans: Iterable[Span], start: int, until: int) -> tuple[Span, ...]:
    return tuple(
        span._replace(start=max(span.start, start), until=min(span.until, until))
        for span in spans
        if span.start < until and start < span.until
    )


def _moment(told: Transition) -> Moment:
    value = told.value
    differences: list[dict[str, object]] = value["differences"]  # type: ignore[assignment]
    words = [f"{each['field']}: {_word(each['left'])} | {_word(each['right'])}" for each in differences]
    if not words:
        words = [f"{value['cause']}"]
    return Moment(read_time(told.ce_time), f"{told.ce_time}  {value['transition']}  " + ", ".join(words))


def _word(value: object) -> str:
    return "unknown" if value is None else str(value)


def _window_note(window: Window) -> str:
    lag, lead, skew = (us / SECOND for us in (window.lag_us, window.lead_us, window.skew_us))
    return (
        f"the left may follow {lag:g} s late or {lead:g} s early (lines below `right`: while an "
        f"equal left value is excused); clocks may differ by {skew:g} s"
    )


def read_time(text: object) -> int:
    """A time as it is told, in µs."""
    moment = datetime.fromisoformat(str(text))
    return int(moment.replace(microsecond=0).timestamp()) * SECOND + moment.microsecond


def time_ticks(picture: Picture, most: int) -> list[tuple[int, str]]:
    """Round instants of a picture, at most so many, with their names."""
    length = picture.until - picture.start
    for step_s in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400):
        step = step_s * SECOND
        if length // step < most:
            break
    first = -(-picture.start // step) * step
    return [(at, format_time(at)[11:19]) for at in range(first, picture.until, step)]

"""The picture of a verdict: lanes of one stretch of event time, as SVG and in a terminal."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from io import StringIO

from rich.console import Console

from app.detector.model import SECOND, Field, FieldType, RowChange, Rule, Side, Transition, Window
from app.detector.unverifiable import UnverifiableLog
from app.detector.values import format_time
from app.explain.gathering import Gathering
from app.explain.picture import FAR, Kind, Picture, Story, draw, read_time, time_ticks
from app.explain.svg import to_svg
from app.explain.terminal import to_terminal

T = 1_790_000_000 * SECOND
FIELDS = (Field("limit", FieldType.AMOUNT, 2), Field("secret", FieldType.TEXT, sensitive="hash"))
WINDOW = Window(30 * SECOND, 10 * SECOND, 2 * SECOND, 2 * SECOND)
RULE = Rule("credit", 1, FIELDS, WINDOW)


def at(second: int) -> int:
    return T + second * SECOND


def transition(name: str, second: int, since: int, until: int | None) -> Transition:
    value: dict[str, object] = {
        "transition": name,
        "rule": "credit",
        "key": "K",
        "since": format_time(at(since)),
        "until": None if until is None else format_time(at(until)),
        "cause": "left_moved" if until else None,
        "differences": [] if until else [{"field": "limit", "left": "7", "right": None}],
    }
    return Transition(f"id-{name}", f"drift.mismatch.{name}", format_time(at(second)), {}, value)


def story() -> Story:
    """The row is 7 from second 100 to 200, which the chain never held; unknown from 300 to 320."""
    opened, resolved = transition("opened", 100, 100, None), transition("resolved", 200, 100, 200)
    return Story(
        "credit",
        "K",
        FIELDS,
        WINDOW,
        [(-FAR, "absent"), (at(20), (500, "x")), (at(100), (700, "x")), (at(200), (500, "x"))],
        [(-FAR, "absent"), (at(10), (500, "x"))],
        at(400),
        {"limit": [(at(100), at(200))]},
        [(at(100), at(200))],
        [(at(210), at(230))],
        [],
        [opened, resolved],
    )


def lane(picture: Picture, name: str) -> list[tuple[int, int, Kind, str]]:
    """(start, until, kind, text) in seconds."""
    [found] = [each for each in picture.lanes if each.name == name]
    return [((s.start - T) // SECOND, (s.until - T) // SECOND, s.kind, s.text) for s in found.spans]


def test_a_picture_shows_what_matters_with_a_margin() -> None:
    picture = draw(story())

    assert ((picture.start - T) // SECOND, (picture.until - T) // SECOND) == (40, 260)
    assert lane(picture, "left") == [
        (40, 100, Kind.PRESENT, "5"),
        (100, 200, Kind.PRESENT, "7"),
        (200, 210, Kind.PRESENT, "5"),
        (210, 230, Kind.UNKNOWN, "? 5"),
        (230, 260, Kind.PRESENT, "5"),
    ]
    assert lane(picture, "right") == [(40, 260, Kind.PRESENT, "5")]
    assert lane(picture, "expected: limit") == lane(picture, "expected: limit")[:1] != []
    assert lane(picture, "told") == [(100, 200, Kind.TOLD, "")]
    assert lane(picture, "unverifiable") == [(210, 230, Kind.UNKNOWN, "")]


def test_a_right_value_reaches_as_far_as_it_excuses_the_left() -> None:
    picture = draw(story(), (at(0), at(400)))

    present = picture.lanes[1].spans[1]
    assert present.reach == (at(0), FAR + WINDOW.lag_us)
    assert picture.lanes[1].spans[0].reach == (-FAR - WINDOW.lead_us, at(40))


def test_what_is_unknown_on_the_right_reaches_by_the_window() -> None:
    told = story()
    told.unknown_left, told.unknown_right = [], [(at(150), at(160))]

    assert lane(draw(told), "unverifiable") == [(138, 192, Kind.UNKNOWN, "")]


def test_a_quiet_key_is_drawn_from_its_birth() -> None:
    told = story()
    told.expected, told.told, told.transitions = {}, [], []

    picture = draw(told)

    assert (picture.start - T) // SECOND == -50
    assert lane(picture, "expected") == []


def test_sensitive_fields_are_never_drawn() -> None:
    told = story()
    told.left = [(-FAR, (500, "hush")), (at(100), (700, "hush"))]

    assert "hush" not in to_svg(draw(told))


def test_the_svg_is_whole_and_has_every_lane_and_moment() -> None:
    text = to_svg(draw(story()))

    root = ET.fromstring(text)  # noqa: S314 - our own
    words = [each.text or "" for each in root.iter("{http://www.w3.org/2000/svg}text")]
    for word in ("credit: K", "left", "right", "expected: limit", "told", "unverifiable"):
        assert word in words
    assert any("opened  limit: 7 | unknown" in word for word in words)
    assert any("resolved  left_moved" in word for word in words)
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_a_key_cannot_break_out_of_the_svg() -> None:
    told = story()
    told.key = "<script>&"

    root = ET.fromstring(to_svg(draw(told)))  # noqa: S314 - our own

    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))


def test_a_terminal_gets_one_line_a_lane_of_its_width() -> None:
    out = StringIO()
    Console(file=out, width=100, color_system=None).print(to_terminal(draw(story()), 100))

    lines = out.getvalue().splitlines()
    assert lines[0] == "credit: K"
    told = next(line for line in lines if line.startswith("told"))
    bar = told[27:]
    assert bar.strip() == "▀" * bar.count("▀")
    assert abs(bar.index("▀") / 73 - 60 / 220) < 0.03
    assert abs(bar.count("▀") / 73 - 100 / 220) < 0.03
    assert all(len(line) <= 100 for line in lines)


def test_ticks_are_round_and_few() -> None:
    ticks = time_ticks(draw(story()), 12)

    assert len(ticks) <= 12
    assert all(moment % (20 * SECOND) == 0 or moment % (30 * SECOND) == 0 for moment, _ in ticks)


def test_what_was_told_of_a_key_is_gathered_in_any_order() -> None:
    gathering = Gathering(RULE, "K")
    changes = [
        RowChange("credit", "K", 1, 10, at(20), "absent", (500, "x"), None),
        RowChange("credit", "K", 1, 11, at(30), (500, "x"), (700, "x"), None),
        RowChange("credit", "K", 2, 12, at(40), "absent", (900, "x"), None),
        RowChange("credit", "K", 2, 13, at(50), (900, "x"), "absent", None),
    ]

    for change in (*reversed(changes), *changes):
        assert gathering.see_input(change)
    assert not gathering.see_input(changes[0]._replace(key="other"))
    for told in (transition("opened", 100, 100, None),) * 2:
        gathering.see_transition(told)
    log = UnverifiableLog()
    log.pieces["K", Side.RIGHT, at(1)] = at(2)
    found = gathering.story(at(300), log)

    assert [(begin, value) for begin, value in found.left[1:]] == [
        (at(20), (500, "x")),
        (at(30), (700, "x")),
        (at(40), "duplicate"),
        (at(50), (700, "x")),
    ]
    assert found.told == [(at(100), at(300))]
    assert found.unknown_right == [(at(1), at(2))]
    assert read_time("2026-09-21T14:13:20.000001Z") == T + 1

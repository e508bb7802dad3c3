"""A picture in a terminal: one line a lane, a character a slice of time."""

from __future__ import annotations

from typing import Final

from rich.console import Group
from rich.text import Text

from app.explain.picture import Kind, Lane, Picture, Span, time_ticks

_NAME: Final = 26
_STYLES: Final = {
    Kind.ABSENT: ("·", "dim"),
    Kind.OUT: ("░", "dim"),
    Kind.UNKNOWN: ("?", "black on yellow"),
    Kind.EXPECTED: ("▀", "yellow"),
    Kind.TOLD: ("▀", "bold red"),
    Kind.JUDGED: ("─", "green"),
}
_SHADES: Final = ("white on blue", "white on dark_cyan")


def to_terminal(picture: Picture, width: int) -> Group:
    """Something rich can print, in at most `width` columns."""
    columns = max(20, width - _NAME - 1)
    lines = [Text(picture.title, style="bold"), _axis(picture, columns)]
    lines += [_lane(picture, lane, columns) for lane in picture.lanes]
    lines.append(Text())
    lines += [Text(moment.text, no_wrap=True, overflow="ellipsis") for moment in picture.moments]
    lines += [Text(note, style="dim") for note in picture.notes]
    return Group(*lines)


def _axis(picture: Picture, columns: int) -> Text:
    line = [" "] * (columns + 9)
    for at, name in time_ticks(picture, max(2, columns // 12)):
        column = (at - picture.start) * columns // max(1, picture.until - picture.start)
        if all(each == " " for each in line[max(0, column - 1) : column + len(name) + 1]):
            line[column : column + len(name)] = name
    return Text(" " * _NAME + " " + "".join(line)[:columns], style="dim")


def _lane(picture: Picture, lane: Lane, columns: int) -> Text:
    text = Text(lane.name[:_NAME].ljust(_NAME) + " ", no_wrap=True)
    length = max(1, picture.until - picture.start)
    shade, column = 0, 0
    for span in lane.spans:
        first = max(column, (span.start - picture.start) * columns // length)
        last = max(first + 1, (span.until - picture.start) * columns // length)
        last = min(last, columns)
        if first >= last:
            continue
        text.append(" " * (first - column))
        text.append(*_fill(span, last - first, shade))
        shade += span.kind is Kind.PRESENT
        column = last
    return text


def _fill(span: Span, width: int, shade: int) -> tuple[str, str]:
    if span.kind is Kind.PRESENT:
        return span.text[:width].ljust(width), _SHADES[shade % 2]
    character, style = _STYLES[span.kind]
    if span.kind is Kind.UNKNOWN and span.text and width > 4:
        return span.text[:width].ljust(width, character), style
    return character * width, style

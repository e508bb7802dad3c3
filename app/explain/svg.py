"""A picture as SVG: no fonts, scripts or styles from elsewhere; readable on white."""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import escape

from app.explain.picture import Kind, Lane, Picture, Span, time_ticks

WIDTH: Final = 1120
_LEFT, _RIGHT = 190, 20
_LANE, _GAP, _TOP, _LINE = 30, 16, 58, 18
_CHARACTER: Final = 6.6
"""About how wide a character of the small text is."""
_FILLS: Final = {
    Kind.ABSENT: "#f3f4f6",
    Kind.OUT: "#e5e7eb",
    Kind.UNKNOWN: "url(#unknown)",
    Kind.EXPECTED: "#f59e0b",
    Kind.TOLD: "#dc2626",
    Kind.JUDGED: "#d1fae5",
}
_SHADES: Final = ("#bfdbfe", "#93c5fd")
_HEAD: Final = (
    '<defs><pattern id="unknown" width="8" height="8" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="8" height="8" fill="#fef3c7"/>'
    '<rect width="3" height="8" fill="#a16207"/></pattern></defs>'
)


def to_svg(picture: Picture) -> str:
    """The whole document, ending with a newline."""
    drawing = _Drawing(picture)
    return drawing.document()


class _Drawing:
    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.scale = (WIDTH - _LEFT - _RIGHT) / max(1, picture.until - picture.start)
        self.parts: list[str] = []

    def document(self) -> str:
        picture = self.picture
        self._text(12, 24, picture.title, size=16, weight="bold")
        bottom = _TOP + len(picture.lanes) * (_LANE + _GAP)
        self._ticks(bottom)
        for number, lane in enumerate(picture.lanes):
            self._lane(lane, _TOP + number * (_LANE + _GAP))
        y = bottom + 34
        for moment in picture.moments:
            if picture.start <= moment.at < picture.until:
                self._moment(moment.at, bottom)
            self._text(12, y, moment.text, size=11)
            y += _LINE
        for note in picture.notes:
            self._text(12, y, note, size=11, fill="#6b7280")
            y += _LINE
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
            f'viewBox="0 0 {WIDTH} {y}" font-family="ui-monospace, Menlo, Consolas, monospace">'
            f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>'
        )
        return head + _HEAD + "".join(self.parts) + "</svg>\n"

    def _x(self, at: int) -> float:
        return round(_LEFT + (at - self.picture.start) * self.scale, 2)

    def _ticks(self, bottom: int) -> None:
        for at, name in time_ticks(self.picture, 12):
            x = self._x(at)
            self.parts.append(f'<path d="M{x} {_TOP - 8}V{bottom}" stroke="#e5e7eb" stroke-width="1"/>')
            self._text(x, _TOP - 14, name, size=10, anchor="middle", fill="#6b7280")

    def _moment(self, at: int, bottom: int) -> None:
        x = self._x(at)
        line = 'stroke="#111827" stroke-width="1" stroke-dasharray="2 3"'
        self.parts.append(f'<path d="M{x} {_TOP - 4}V{bottom}" {line}/>')

    def _lane(self, lane: Lane, y: int) -> None:
        self._text(12, y + 19, lane.name, size=11, weight="bold")
        shade = 0
        for span in lane.spans:
            x, width = self._x(span.start), max(1.0, round((span.until - span.start) * self.scale, 2))
            fill = _FILLS.get(span.kind)
            if fill is None:
                fill, shade = _SHADES[shade % 2], shade + 1
            self.parts.append(
                f'<rect x="{x}" y="{y}" width="{width}" height="{_LANE}" fill="{fill}" '
                f'stroke="#6b7280" stroke-width="0.5"><title>{escape(span.text or span.kind)}</title></rect>'
            )
            self._label(span, (x, y), width)
            if span.reach is not None and span.kind is Kind.PRESENT:
                self._reach(span.reach, y, shade)

    def _label(self, span: Span, at: tuple[float, int], width: float) -> None:
        room = int((width - 8) / _CHARACTER)
        if span.text and room >= 4:
            text = span.text if len(span.text) <= room else span.text[: room - 1] + "…"
            self._text(at[0] + 4, at[1] + 19, text, size=11)

    def _reach(self, reach: tuple[int, int], y: int, shade: int) -> None:
        """From when to when a right value excuses an equal left one."""
        start = self._x(max(reach[0], self.picture.start))
        until = self._x(min(reach[1], self.picture.until))
        level = y + _LANE + 4 + 4 * (shade % 2)
        self.parts.append(
            f'<path d="M{start} {level - 2}v4M{start} {level}H{until}M{until} {level - 2}v4" '
            f'stroke="#1d4ed8" stroke-width="1.2" fill="none"/>'
        )

    def _text(  # noqa: PLR0913 - what a text needs in SVG
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: int,
        weight: str = "normal",
        anchor: str = "start",
        fill: str = "#111827",
    ) -> None:
        self.parts.append(
            f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
            f'fill="{fill}" xml:space="preserve">{escape(text)}</text>'
        )

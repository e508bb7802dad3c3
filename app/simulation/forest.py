"""Bars of precision and recall with their bounds, as SVG without fonts or styles from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH = 1000
_NAMES, _SCALE = 210, 400
_TOP, _ROW, _BAR = 76, 50, 15
_PRECISION, _RECALL = "#2563eb", "#f59e0b"


class Bar(NamedTuple):
    """A way of looking: (value, low, high) of precision and of recall, between 0 and 1."""

    name: str
    precision: tuple[float, float, float]
    recall: tuple[float, float, float]
    note: str


def draw_bars(title: str, bars: Sequence[Bar]) -> str:
    """The whole document, ending with a newline."""
    height = _TOP + _ROW * len(bars) + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif">'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(16, 28, title, 17, weight="bold"),
        f'<rect x="{_NAMES}" y="42" width="12" height="12" fill="{_PRECISION}"/>',
        _text(_NAMES + 18, 52, "precision: of the alarms, those that were right", 12),
        f'<rect x="{_NAMES + 320}" y="42" width="12" height="12" fill="{_RECALL}"/>',
        _text(_NAMES + 338, 52, "recall: of the drifts, those that were found", 12),
    ]
    bottom = _TOP + _ROW * len(bars)
    for tick in range(5):
        x = _NAMES + _SCALE * tick // 4
        parts.append(f'<path d="M{x} {_TOP - 8}V{bottom}" stroke="#e5e7eb"/>')
        parts.append(_text(x, bottom + 14, f"{tick * 25} %", 11, anchor="middle", fill="#6b7280"))
    for number, bar in enumerate(bars):
        y = _TOP + _ROW * number
        weight = "bold" if number == 0 else "normal"
        parts.append(_text(_NAMES - 10, y + 20, bar.name, 13, weight=weight, anchor="end"))
        parts += _bar(y, bar.precision, _PRECISION)
        parts += _bar(y + _BAR + 1, bar.recall, _RECALL)
        parts.append(_text(_NAMES + _SCALE + 74, y + 20, bar.note, 12, fill="#374151"))
    return "".join(parts) + "</svg>\n"


def _bar(y: int, value: tuple[float, float, float], fill: str) -> list[str]:
    share, low, high = value
    width = round(_SCALE * share, 1)
    middle = y + _BAR / 2
    start, end = _NAMES + _SCALE * low, _NAMES + _SCALE * high
    return [
        f'<rect x="{_NAMES}" y="{y}" width="{width}" height="{_BAR}" fill="{fill}"/>',
        f'<path d="M{start:.1f} {middle}H{end:.1f}M{start:.1f} {middle - 4}v8M{end:.1f} {middle - 4}v8" '
        f'stroke="#111827" stroke-width="1"/>',
        _text(_NAMES + _SCALE + 8, y + 12, f"{share:.2%}" if share < 1 else "100 %", 12),
    ]


def _text(  # noqa: PLR0913 - what a text needs in SVG
    x: float,
    y: float,
    text: str,
    size: int,
    *,
    weight: str = "normal",
    anchor: str = "start",
    fill: str = "#111827",
) -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{fill}">{escape(text)}</text>'
    )

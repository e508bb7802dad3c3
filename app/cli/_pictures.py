"""How the picture of a verdict gets to the terminal and into a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from app.explain.picture import Story


@dataclass(frozen=True, slots=True)
class View:
    """What of a story is drawn, and where to: `--from`, `--until` (times as they are told), `--svg`."""

    start: str | None
    until: str | None
    svg: Path | None


def show_story(story: Story, view: View) -> None:
    """Print its picture, and write it as SVG where a file is named."""
    from rich.console import Console

    from app.explain.picture import draw
    from app.explain.svg import to_svg
    from app.explain.terminal import to_terminal

    console, svg = Console(), view.svg
    picture = draw(story)
    if view.start or view.until:
        start = _read(view.start, picture.start)
        picture = draw(story, (start, max(_read(view.until, picture.until), start + 1)))
    console.print(to_terminal(picture, console.width))
    if svg is not None:
        svg.write_text(to_svg(picture), encoding="utf-8")
        typer.echo(f"written: {svg}", err=True)


def _read(text: str | None, otherwise: int) -> int:
    from app.errors import Fatal
    from app.explain.picture import read_time

    if text is None:
        return otherwise
    try:
        return read_time(text)
    except ValueError as error:
        raise Fatal("drawing", text, error, "a time is 2026-08-01T10:00:00Z") from error

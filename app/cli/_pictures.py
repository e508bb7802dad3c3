"""How the picture of a verdict gets to the terminal and into a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from app.explain.picture import Picture


def show_picture(picture: Picture, svg: Path | None) -> None:
    """Print it, and write it as SVG where a file is named."""
    from rich.console import Console

    from app.explain.svg import to_svg
    from app.explain.terminal import to_terminal

    console = Console()
    console.print(to_terminal(picture, console.width))
    if svg is not None:
        svg.write_text(to_svg(picture), encoding="utf-8")
        typer.echo(f"written: {svg}", err=True)

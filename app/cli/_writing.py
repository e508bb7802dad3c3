"""Files that a command writes for a person to go on with."""

from __future__ import annotations

from pathlib import Path

from app.errors import Fatal


def write_new(path: Path, text: str, *, force: bool) -> None:
    """Write a file that is not there yet; with `force`, one that is. Raises `Fatal` saying what is there."""
    if path.exists() and not force:
        raise Fatal("writing", str(path), f"it is there already: {_outline(path)}", "--force writes over it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Fatal("writing", str(path), error.strerror or type(error).__name__) from error


def _outline(path: Path) -> str:
    """What the file says something about, without what it says."""
    if not path.is_file():
        return "no file"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    named = [line.partition(":")[0] for line in lines if line[:1].isalpha() and ":" in line]
    return ", ".join(named) or f"{len(lines)} lines"

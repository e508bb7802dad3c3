"""`driftwatch demo --drill`: losses planted on the whole system, and what came of each."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer


def run_drills(name: str, seed: int, folder: Path | None, *, as_json: bool) -> int:
    """Play the drills and print what came of them; the exit code."""
    from app.clock import SystemClock
    from app.demo.drills.play import choose, play

    names = choose(name)
    place = folder or Path(tempfile.mkdtemp(prefix="driftwatch-drill-"))
    place.mkdir(parents=True, exist_ok=True)
    try:
        results = asyncio.run(
            play(names, place, seed, SystemClock(), lambda text: typer.echo(text, err=True))
        )
    finally:
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)
    if as_json:
        import orjson

        typer.echo(orjson.dumps({"seed": seed, "drills": results}).decode())
    else:
        for one, result in results.items():
            typer.echo(_sentence(one, result))
    return 0 if all(result["ok"] for result in results.values()) else 1


def _sentence(name: str, result: Mapping[str, Any]) -> str:
    word = "ok    " if result["ok"] else "FAILED"
    if "error" in result:
        return f"{word} {name}: {result['error']}"
    text = (
        f"{word} {name}: {result['declared']} incidents declared ({', '.join(result['causes']) or 'none'}), "
        f"{result['repaired']} values repaired, {result['found']} drifts found, "
        f"{result['false_alarms']} false alarms, {result['seconds']} s"
    )
    return text + "".join(f"\n       {problem}" for problem in result["problems"])

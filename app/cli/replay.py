"""`driftwatch replay`: what would these rules have told about this recorded log?"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from app.errors import Fatal


def register(commands: typer.Typer) -> None:
    """Add `replay`."""
    commands.command("replay")(replay)


def replay(
    rules: Annotated[list[Path], typer.Option("--rules", help="Rule file; may be given several times.")],
    log: Annotated[
        str, typer.Option("--log", help="Recorded log: JSON lines, .zst, or - for standard input.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Override a path of the rules, as window.lag=30s.")
    ] = None,
    from_empty: Annotated[
        bool, typer.Option("--from-empty", help="The log begins at the birth of both histories.")
    ] = False,
    unverifiable: Annotated[
        Path | None, typer.Option("--unverifiable", help="Write the stretches that could not be judged here.")
    ] = None,
) -> None:
    """Run rules over a recorded log and print the events that would have been published, one JSON line
    each."""
    import orjson

    from app.replay import Replay
    from app.rules import load_rules
    from app.wiring import build_codecs

    loaded = load_rules(rules, os.environ, overrides or [], lenient_environment=True)
    out = sys.stdout.buffer
    runner = Replay([rule.rule for rule in loaded], build_codecs(loaded), out.write, from_empty=from_empty)
    with opened(log) as lines:
        summary = runner.run(lines)
    out.flush()
    if unverifiable is not None:
        unverifiable.write_bytes(b"".join(runner.unverifiable()))
    report = {
        "records": summary.records,
        "events": summary.events,
        "open": summary.open,
        "refused": summary.refused,
        **summary.counts,
    }
    typer.echo(orjson.dumps(report).decode(), err=True)


@contextmanager
def opened(log: str) -> Iterator[Iterable[bytes]]:
    """The lines of a log file, of its zstandard form, or of standard input."""
    if log == "-":
        yield sys.stdin.buffer
        return
    path = Path(log)
    try:
        file = path.open("rb")
    except OSError as error:
        raise Fatal(
            "opening", log, error.strerror, "--log names a recorded log, or - for standard input"
        ) from error
    with file:
        if path.suffix != ".zst":
            yield file
            return
        import zstandard

        with zstandard.ZstdDecompressor().stream_reader(file) as reader:
            yield io.BufferedReader(reader, 1 << 20)

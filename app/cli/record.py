"""`driftwatch record`: topics into a recorded log, for replay."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from app.cli._stopping import stop_on_signals
from app.errors import Fatal


def register(commands: typer.Typer) -> None:
    """Add `record`."""
    commands.command("record")(record)


def record(
    topics: Annotated[
        list[str], typer.Argument(help="Topics without the prefix, such as db.changes chain.events.")
    ],
    duration: Annotated[
        str | None, typer.Option("--for", help="How long, as 90s or 2h (default: until Ctrl-C).")
    ] = None,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="What the topics still hold, then what comes.")
    ] = False,
    to_end: Annotated[
        bool, typer.Option("--to-end", help="Only what the topics hold now: implies --from-beginning.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="A new file; .zst is compressed (default: standard output).")
    ] = None,
) -> None:
    """Write records of topics as JSON lines in the order of arrival; `driftwatch replay` reads them."""
    import orjson

    from app.cli.demo import parse_duration
    from app.clock import SystemClock
    from app.settings import load_settings
    from connectors.kafka.recording import Extent, Recorder

    settings = load_settings()
    seconds = None if duration is None else parse_duration(duration)
    names = {settings.topic(name): name for name in topics}
    recorder = Recorder(settings.kafka, names, SystemClock())

    async def run(write: Callable[[bytes], object]) -> None:
        stop = stop_on_signals()
        await recorder.run(Extent(from_beginning or to_end, to_end, seconds), write, stop)

    with opened_for_writing(out) as write:
        asyncio.run(run(write))
    typer.echo(orjson.dumps(dict(recorder.counts)).decode(), err=True)


@contextmanager
def opened_for_writing(out: Path | None) -> Iterator[Callable[[bytes], object]]:
    """Where lines go: standard output, a new file, or a new file in zstandard's form."""
    if out is None:
        yield _write_out
        return
    try:
        file = out.open("xb", buffering=0)
    except OSError as error:
        hint = "--out names a file that is not there yet"
        raise Fatal("writing", str(out), error.strerror, hint) from error
    with file:
        if out.suffix != ".zst":
            yield file.write
            return
        import zstandard

        with zstandard.ZstdCompressor(level=6).stream_writer(file, closefd=False) as writer:
            yield writer.write


def _write_out(lines: bytes) -> None:
    sys.stdout.buffer.write(lines)
    sys.stdout.buffer.flush()

"""`driftwatch explain`: the picture of a verdict, from the topics or from a recorded log."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.errors import Fatal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from app.detector.model import Input, Transition
    from app.explain.gathering import Gathering
    from app.explain.picture import Story
    from app.ports import Codec, Record
    from app.rules import LoadedRule
    from app.settings import Settings


def register(commands: typer.Typer) -> None:
    """Add `explain`."""
    commands.command("explain")(explain)


def explain(
    rule: Annotated[str, typer.Argument(help="Id of the rule.")],
    key: Annotated[str, typer.Argument(help="The key: an address, a reference.")],
    log: Annotated[
        str | None,
        typer.Option(
            "--log",
            help="Recorded log: JSON lines, .zst, or - for standard input (default: what the topics hold).",
        ),
    ] = None,
    rules: Annotated[
        list[Path] | None,
        typer.Option("--rules", help="Rule file (default: DRIFTWATCH_RULES; with a log, those shipped)."),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Override a path of the rules, as window.lag=30s.")
    ] = None,
    from_empty: Annotated[
        bool, typer.Option("--from-empty", help="The log begins at the birth of both histories.")
    ] = False,
    start: Annotated[str | None, typer.Option("--from", help="Draw from this time on.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Draw up to this time.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Write the drawing here as SVG.")] = None,
) -> None:
    """Draw both timelines of a key, the window, what could not be verified, what should have been told by the
    definition of drift, and what was told.

    From the topics it shows what was really told; from a log, what its replay tells.
    """
    from app.cli._pictures import View, show_story
    from app.rules import load_rules
    from app.settings import RULES_FOLDER, load_settings

    shipped = sorted(RULES_FOLDER.glob("*.yaml"))
    settings = load_settings()
    paths = rules or (shipped if log is not None else list(settings.rules))
    loaded = load_rules(paths, os.environ, overrides or [], lenient_environment=True)
    chosen = [each for each in loaded if each.rule.id == rule]
    if not chosen:
        names = ", ".join(each.rule.id for each in loaded)
        raise Fatal("explaining", rule, "no such rule", f"there are: {names}; --rules names others")
    if log is None:
        story = _tell_live(chosen[0], key, settings, from_empty=from_empty or settings.from_empty)
    else:
        story = _tell(chosen[0], key, log, from_empty=from_empty)
    _expect(story, chosen[0])
    show_story(story, View(start, until, svg))


class _Watched:
    """A codec, and what it decodes is seen by a gathering as well."""

    def __init__(self, codec: Codec, gathering: Gathering) -> None:
        self.codec, self.gathering, self.skipped = codec, gathering, codec.skipped
        self.partition: int | None = None

    def decode(self, record: Record) -> Sequence[Input]:
        """As the codec does."""
        inputs = self.codec.decode(record)
        for item in inputs:
            if self.gathering.see_input(item):
                self.partition = record.partition
        return inputs


def _tell(loaded: LoadedRule, key: str, log: str, *, from_empty: bool) -> Story:
    """Run the rule over the log, and keep what is about the key."""
    from app.cli.replay import opened
    from app.explain.gathering import Gathering

    gathering = Gathering(loaded.rule, key)

    def see(line: bytes) -> None:
        gathering.see_transition(_read_transition(line))

    with opened(log) as lines:
        return _replay(loaded, gathering, (lines, f"{log} tells nothing"), see, from_empty=from_empty)


def _tell_live(loaded: LoadedRule, key: str, settings: Settings, *, from_empty: bool) -> Story:
    """Run the rule over what the topics hold of the key; what was told is what stands in the topic."""
    from app.cli._live import read_key
    from app.explain.gathering import Gathering

    lines, told = asyncio.run(read_key(settings, loaded.rule.id, key))
    gathering = Gathering(loaded.rule, key)
    for transition in told:
        gathering.see_transition(transition)
    records = (lines, "the topics tell nothing")
    return _replay(loaded, gathering, records, lambda line: None, from_empty=from_empty)


def _replay(
    loaded: LoadedRule,
    gathering: Gathering,
    records: tuple[Iterable[bytes], str],
    see: Callable[[bytes], object],
    *,
    from_empty: bool,
) -> Story:
    """The story of the gathering's key; `see` gets what the replay tells. `records`: lines, and what to say
    where none is about the key."""
    from app.replay import Replay
    from app.wiring import build_codecs

    codecs = {topic: _Watched(codec, gathering) for topic, codec in build_codecs([loaded]).items()}
    replay = Replay([loaded.rule], codecs, see, from_empty=from_empty)
    lines, where = records
    replay.run(lines)
    partitions = [codec.partition for codec in codecs.values() if codec.partition is not None]
    if not partitions:
        raise Fatal(
            "explaining",
            gathering.key,
            f"{where} of this key",
            "`driftwatch watch` and `driftwatch replay` list keys that drift",
        )
    detector = replay.panels[partitions[0]].detectors[loaded.rule.id]
    return gathering.story(detector.verified_through, replay.logs[loaded.rule.id])


def _read_transition(line: bytes) -> Transition:
    import orjson

    from app.detector.model import Transition

    told = orjson.loads(line)
    return Transition(told["ce_id"], told["ce_type"], told["ce_time"], told["headers"], told["value"])


def _expect(story: Story, loaded: LoadedRule) -> None:
    """What the definition of drift says of what was told; nothing where equality is not plain."""
    from app.simulation.truth import EXISTENCE, Bounds, find_violations

    fields = loaded.rule.fields
    if not all(each.is_exact for each in fields):
        story.notes.append("what should be told is not drawn: a field has a tolerance")
        return
    window = story.window
    bounds = Bounds(window.lag_us, window.lead_us, story.judged_until)
    found = find_violations(list(story.left), list(story.right), bounds)
    names = {EXISTENCE: "existence"} | {i: each.name for i, each in enumerate(fields)}
    story.expected = {names[number]: found[number] for number in sorted(found)}

"""The configuration file: settings by their names, one file, secrets as `${VARIABLE}` of the environment."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import yaml

from app.errors import Fatal

FILE_NAME: Final = "driftwatch.yaml"
VARIABLE: Final = "DRIFTWATCH_CONFIG"
Stated: TypeAlias = str | tuple[str, ...]
"""A setting as the file says it: a text, as in the environment, or a list of texts."""

_REFERENCE: Final = re.compile(r"\$\{([^}]*)\}")
_NOTHING: Final = ("", "~", "null")


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """Where it stands, and what it says by the settings' names."""

    path: Path
    stated: Mapping[str, Stated]

    @property
    def folder(self) -> Path:
        """What the paths in it are relative to."""
        return self.path.parent

    def paths(self, name: str) -> tuple[Path, ...]:
        """A setting as paths; a pattern (`rules/*.yaml`) stands for the files that it matches, in order."""
        found: list[Path] = []
        stated = self.stated[name]
        for each in stated.split(",") if isinstance(stated, str) else stated:
            text = each.strip()
            if any(sign in text for sign in "*?["):
                found += sorted(self.folder.glob(text))
            elif text:
                found.append(self.folder / text)
        return tuple(found)


def find_settings_file(environ: Mapping[str, str], folder: Path) -> Path | None:
    """The file that `DRIFTWATCH_CONFIG` names, else `driftwatch.yaml` in the folder; None where there is
    none."""
    named = environ.get(VARIABLE)
    if named:
        return Path(named)
    path = folder / FILE_NAME
    return path if path.exists() else None


def read_settings_file(
    path: Path, environ: Mapping[str, str], known: Collection[str], given: Collection[str] = ()
) -> SettingsFile:
    """What the file says of the `known` settings but those that are `given` elsewhere; raises `Fatal` with
    every problem of it."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise Fatal(
            "reading", str(path), cause, f"correct {VARIABLE}, or write one: driftwatch init"
        ) from error
    except yaml.YAMLError as error:
        raise Fatal("reading", str(path), f"it is no YAML: {' '.join(str(error).split())}") from error
    stated: dict[str, Stated] = {}
    problems: list[str] = []
    seen: set[str] = set()
    for name, value in _pairs(node, problems):
        line = value.start_mark.line + 1
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            problems.append(f"line {line}: {name} is no setting" + (f"; {near[0]}?" if near else ""))
        elif name in seen:
            problems.append(f"line {line}: {name} stands twice")
        elif (said := _texts(value)) is None:
            problems.append(f"line {line}: {name} is neither a value nor a list of values")
        elif name not in given and said != "":
            stated[name] = _fill_in(said, environ, f"line {line}: {name}", problems)
        seen.add(name)
    if problems:
        raise Fatal("reading", str(path), "\n  ".join(("", *problems)), "correct it, then: driftwatch check")
    return SettingsFile(path, stated)


def _pairs(node: yaml.Node | None, problems: list[str]) -> Iterator[tuple[str, yaml.Node]]:
    if node is None:
        return
    if not isinstance(node, yaml.MappingNode):
        problems.append("it is no mapping of settings, such as `kafka: 127.0.0.1:9092`")
        return
    for key, value in node.value:
        yield str(key.value), value


def _texts(node: yaml.Node) -> Stated | None:
    """A scalar's text, as the environment would have it: `0.10` stays `0.10`."""
    if isinstance(node, yaml.ScalarNode):
        is_plain = node.style is None
        return "" if is_plain and node.value in _NOTHING else str(node.value)
    if isinstance(node, yaml.SequenceNode) and all(isinstance(item, yaml.ScalarNode) for item in node.value):
        return tuple(str(item.value) for item in node.value)
    return None


def _fill_in(said: Stated, environ: Mapping[str, str], place: str, problems: list[str]) -> Stated:
    texts = (said,) if isinstance(said, str) else said
    unset = {name for text in texts for name in _REFERENCE.findall(text) if not environ.get(name)}
    problems += [f"{place}: {name} is not set in the environment" for name in sorted(unset)]
    if unset:
        return said
    filled = tuple(_REFERENCE.sub(lambda found: environ[found[1]], text) for text in texts)
    return filled[0] if isinstance(said, str) else filled

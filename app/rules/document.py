"""Reading a rule file: YAML without surprises, `${ENV}`, and overrides."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

ANY_CONTRACT: Final = "${any}"
"""Stands for an unset variable in `right.contract` where the environment may be lenient."""

_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with a rule: where, what, and what would be right."""

    file: str
    path: str
    what: str
    allowed: str = ""

    def __str__(self) -> str:
        place = f"{self.file}: {self.path}: " if self.path else f"{self.file}: "
        return f"{place}{self.what}" + (f"; allowed: {self.allowed}" if self.allowed else "")


@dataclass(slots=True)
class Document:
    """A rule file as read. `content` is None where it is no mapping at all; then `problems` says why."""

    file: str
    content: dict[str, Any] | None
    problems: list[Problem] = field(default_factory=list)

    def report(self, path: str, what: str, allowed: str = "") -> None:
        """Note a problem; reading goes on, so that all are named at once."""
        self.problems.append(Problem(self.file, path, what, allowed))

    def is_sound(self, path: str) -> bool:
        """Whether no problem is known at this path, above it or below it."""
        known = [problem.path for problem in self.problems]
        return not any(
            place in ("", path) or place.startswith(f"{path}.") or path.startswith(f"{place}.")
            for place in known
        )


class _Loader(yaml.SafeLoader):
    """YAML 1.2's words only: `off`, `on`, dates, 02:00 and 0.1 stay texts; keys are unique texts."""

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012 - as the base class has it

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuses aliases: a few lines of them stand for more values than memory holds, or for themselves."""
        if self.check_event(yaml.AliasEvent):
            events: Any = self
            mark = events.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "an alias (*name) is not taken here", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be one word", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
            key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("^(?:~|null|)$"), ["~", "n", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile("^-?(?:0|[1-9][0-9]*)$"), list("-0123456789")
)


def parse_yaml(content: str) -> object:
    """The document's value; raises `yaml.YAMLError`."""
    return yaml.load(content, Loader=_Loader)  # noqa: S506 - a SafeLoader


def read_document(path: Path, wanted: str = "one rule: `rule:`, `version:`, …") -> Document:
    """The file's content, before environment and overrides; `wanted`: what it should hold."""
    name = str(path)
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        return Document(name, None, [Problem(name, "", f"cannot be read: {reason}")])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return Document(name, None, [Problem(name, "", f"is not YAML: {_one_line(error)}")])
    if not isinstance(content, dict):
        return Document(name, None, [Problem(name, "", "is not a mapping", wanted)])
    return Document(name, content)


def override(document: Document, overrides: Sequence[str]) -> None:
    """Set `path=value` in the content; the value is YAML. Wrong paths are found by the schema afterwards."""
    for item in overrides:
        path, equals, text = item.partition("=")
        parts = path.strip().split(".")
        if not equals or not all(parts):
            document.report(item, "is no override", "path=value, such as window.lag=30s")
            continue
        try:
            value = parse_yaml(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            document.report(item, f"the value is not YAML: {_one_line(error)}")
            continue
        place: Any = document.content
        for part in parts[:-1]:
            below = place.get(part)
            place[part] = place = dict(below) if isinstance(below, dict) else {}
        place[parts[-1]] = value


def fill_in(document: Document, environ: Mapping[str, str], *, lenient: bool) -> None:
    """Replace every `${NAME}` by its value; an unset or empty variable is a problem."""

    def filled(value: Any, path: str) -> Any:
        if isinstance(value, dict):
            return {key: filled(item, f"{path}.{key}" if path else str(key)) for key, item in value.items()}
        if isinstance(value, list):
            return [filled(item, f"{path}.{index}") for index, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        unset = sorted({name for name in _VARIABLE.findall(value) if not environ.get(name)})
        if unset and lenient and path == "right.contract":
            return ANY_CONTRACT
        if unset:
            document.report(
                path, f"{', '.join(unset)} is not set in the environment", "a value that is not empty"
            )
            return value
        return _VARIABLE.sub(lambda found: environ[found[1]], value)

    document.content = filled(document.content, "")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())

"""Every public format as a JSON Schema (draft 2020-12): `validate` tells what is wrong with a value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry, Resource

FOLDER = Path(__file__).parent
URN: Final = "urn:driftwatch:schema:"
"""`$id` of a schema: this and its name."""

_CONDITIONS: Final = frozenset({"if", "then", "else", "allOf", "anyOf"})


def names() -> tuple[str, ...]:
    """The names of all schemas, such as `rule.v1`."""
    return tuple(sorted(path.name.removesuffix(".json") for path in FOLDER.glob("*.v*.json")))


def document(name: str) -> dict[str, Any]:
    """The schema itself; `name` as in `names()`."""
    loaded: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


@cache
def validator(name: str, *, strict: bool = False) -> Draft202012Validator:
    """The compiled schema; `name` as in `names()`, or with a part of one (`mismatch.v1#/$defs/headers`).

    `strict` refuses fields that the schema does not name, where the schema does not leave them open.
    """
    schema = document(name) if "#" not in name else {"$ref": URN + name}
    checker = Draft202012Validator.FORMAT_CHECKER
    return Draft202012Validator(
        _closed(schema) if strict else schema, registry=_registry(strict), format_checker=checker
    )


def validate(name: str, value: object, *, strict: bool = False) -> list[str]:
    """All problems of a value, one line each, `path: what is wrong`; empty: the value is valid."""
    found = validator(name, strict=strict).iter_errors(value)
    return [f"{path or '(whole)'}: {message}" for path, message in sorted(_faults(found))]


@cache
def _registry(strict: bool) -> Registry[Any]:
    return Registry().with_resources(_resources(strict))


def _resources(strict: bool) -> Iterator[tuple[str, Resource[Any]]]:
    for name in names():
        schema = document(name)
        yield URN + name, Resource.from_contents(_closed(schema) if strict else schema)


def _faults(errors: Iterable[ValidationError]) -> Iterator[tuple[str, str]]:
    """(path, message) of each; for a value that is none of several alternatives, of the one that is nearest:
    by its constant first, then by the number of faults."""
    for error in errors:
        branches: dict[Any, list[ValidationError]] = {}
        for below in error.context or ():
            branches.setdefault(below.relative_schema_path[0], []).append(below)
        if branches:
            nearest = min(branches.values(), key=_distance)
            yield from _faults(nearest)
        else:
            yield ".".join(str(part) for part in error.absolute_path), error.message


def _distance(faults: Sequence[ValidationError]) -> tuple[bool, int]:
    return any(fault.validator in ("const", "enum") for fault in faults), len(faults)


def _closed(schema: Any) -> Any:
    """The schema with every named object closed; conditions only add to an object and stay as they are."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {word: item if word in _CONDITIONS else _closed(item) for word, item in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        found["additionalProperties"] = False
    return found

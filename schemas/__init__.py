"""Every public format as a JSON Schema (draft 2020-12): `validate` tells what is wrong with a value."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """The names of all schemas, such as `rule.v1`."""
    return tuple(sorted(path.name.removesuffix(".json") for path in FOLDER.glob("*.v*.json")))


@cache
def validator(name: str) -> Draft202012Validator:
    """The compiled schema; `name` as in `names()`."""
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return Draft202012Validator(document, format_checker=Draft202012Validator.FORMAT_CHECKER)


def validate(name: str, value: object) -> list[str]:
    """All problems of a value, one line each, `path: what is wrong`; empty: the value is valid."""
    errors = validator(name).iter_errors(value)
    lines = [(".".join(str(part) for part in error.absolute_path), error.message) for error in errors]
    return [f"{path or '(whole)'}: {message}" for path, message in sorted(lines)]

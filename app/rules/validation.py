"""What a rule file may say: the schema's verdict in plain words, with the nearest name for a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from jsonschema.exceptions import ValidationError

import schemas
from app.rules.document import Document


def validate_form(document: Document, schema: str = "rule.v1") -> None:
    """Report every problem that the schema finds."""
    reported = {problem.path for problem in document.problems}
    for error in schemas.validator(schema).iter_errors(document.content):
        for path, what, allowed in _in_words(error, schema):
            if path not in reported:
                document.report(path, what, allowed)


def _in_words(error: ValidationError, name: str) -> Iterator[tuple[str, str, str]]:
    path = ".".join(str(part) for part in error.absolute_path)
    schema: dict[str, Any] = error.schema if isinstance(error.schema, dict) else {}
    allowed = str(schema.get("description", ""))
    instance: Any = error.instance
    if error.validator == "additionalProperties":
        known = list(schema.get("properties", {}))
        for key in sorted(set(instance) - set(known), key=str):
            yield _below(path, key), "is not known here", _nearest(str(key), known)
    elif error.validator == "required":
        for key in list(error.validator_value):  # type: ignore[arg-type]
            if key not in instance and f"{key!r}" in error.message:
                wanted = schema.get("properties", {}).get(key, {})
                yield _below(path, key), "is missing", _description(wanted, name)
    elif error.validator == "dependentRequired":
        yield path, error.message, allowed
    elif "propertyNames" in error.absolute_schema_path:
        yield path, f"{error.instance!r} is no field name", "letters, digits and _, at most 64"
    elif isinstance(error.instance, dict | list):
        yield path, "does not have the right form", allowed or error.message
    else:
        yield path, f"{error.instance!r} is not allowed", allowed or error.message


def _description(schema: dict[str, Any], name: str) -> str:
    reference = str(schema.get("$ref", ""))
    if reference.startswith("#/$defs/"):
        root: Any = schemas.validator(name).schema
        schema = root["$defs"][reference.removeprefix("#/$defs/")]
    return str(schema.get("description", ""))


def _nearest(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    listed = ", ".join(sorted(known))
    return f"{near[0]}? ({listed})" if near else listed


def _below(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)

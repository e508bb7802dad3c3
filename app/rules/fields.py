"""The fields of a rule: from the file's words to the detector's `Field` and the two readers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final
from zoneinfo import ZoneInfo

from app.detector.model import Field, FieldType, Severity
from app.detector.values import hash_shown, show
from app.rules.canonical import Canonical, decimals, left_form, right_form, scaled
from app.rules.document import Document
from app.rules.expressions import Reader, compile_reader, is_arithmetic

DEFAULT_SCALE: Final = 18
"""Decimals of an amount that both sides write as decimal text."""

_UNITS: Final = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_WITH_NUMBERS: Final = "only with type amount or integer"
_NUMBERS: Final = (FieldType.AMOUNT, FieldType.INTEGER)


@dataclass(frozen=True, slots=True)
class CompiledField:
    """A field and how both sides read it."""

    field: Field
    left: Reader
    right: Reader


def duration_us(text_: str) -> int:
    """`250ms`, `30s`, `10m`, `1h`, `30d` in µs; the schema has checked the form."""
    digits = text_.rstrip("abcdefghijklmnopqrstuvwxyz")
    return int(digits) * _UNITS[text_[len(digits) :]]


def compile_field(name: str, stated: Mapping[str, Any], document: Document) -> CompiledField | None:
    """None where something is wrong; the document's problems say what."""
    before = len(document.problems)
    path = f"fields.{name}"
    kind = FieldType(stated["type"])
    _check_options(kind, stated, path, document)
    scale = _scale(kind, stated)
    severities = _severities(kind, scale, stated.get("severity", "medium"), f"{path}.severity", document)
    absolute, relative = _tolerance(kind, scale, stated.get("tolerance", {}), path, document)
    if len(document.problems) > before:
        return None
    constant = decimals(scale) if kind is FieldType.AMOUNT else right_form(kind, scale, None)
    left = left_form(kind, scale, stated.get("left_scale"), stated.get("zone"))
    right = right_form(kind, scale, stated.get("right_scale"))
    field = Field(name, kind, scale, severities, absolute, relative, stated.get("sensitive"))
    return CompiledField(
        field,
        _reader(field, stated["left"], left, constant),
        _reader(field, stated["right"], right, constant),
    )


def _reader(field: Field, expression: Any, canonical: Canonical, constant: Canonical) -> Reader:
    """A sensitive field is hashed as it is read, so that no table, topic or log of ours ever holds it; one
    that is compared by distance (a tolerance, steps of severity) must be kept to be compared."""
    read = compile_reader(expression, canonical, constant)
    if field.sensitive is None or not field.is_exact or len(field.severities) > 1:
        return read
    return lambda row: hash_shown(show(field, read(row)))


def _scale(kind: FieldType, stated: Mapping[str, Any]) -> int:
    if kind is not FieldType.AMOUNT:
        return 0
    scales = [stated[side] for side in ("left_scale", "right_scale") if side in stated]
    return max(scales) if scales else DEFAULT_SCALE


def _check_options(kind: FieldType, stated: Mapping[str, Any], path: str, document: Document) -> None:
    for option in ("left_scale", "right_scale"):
        if option in stated and kind is not FieldType.AMOUNT:
            document.report(f"{path}.{option}", f"means nothing for type {kind}", "only with type amount")
    if "zone" in stated:
        if kind is not FieldType.TIME:
            document.report(f"{path}.zone", f"means nothing for type {kind}", "only with type time")
        check_zone(stated["zone"], f"{path}.zone", document)
    for side in ("left", "right"):
        _check_expression(kind, stated[side], f"{path}.{side}", document)


def check_zone(zone: str, path: str, document: Document) -> None:
    """Report a time zone that does not exist."""
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        document.report(path, f"{zone!r} is no time zone", "a name of the tz database such as Europe/Paris")


def _check_expression(kind: FieldType, expression: Any, path: str, document: Document) -> None:
    if isinstance(expression, str):
        return
    forms = sorted(expression.keys() - {"of"})
    if len(forms) != 1:
        document.report(
            path, f"{' and '.join(forms)} stand together", "one of const, plus, minus, negate, map"
        )
        return
    form = forms[0]
    if is_arithmetic(expression) and kind not in _NUMBERS:
        document.report(
            f"{path}.{form}", f"needs numbers, the type is {kind}", "only with type amount or integer"
        )
    if form == "negate":
        _check_expression(kind, expression[form], f"{path}.{form}", document)
    elif form in ("plus", "minus"):
        for index, part in enumerate(expression[form]):
            _check_expression(kind, part, f"{path}.{form}.{index}", document)


def _severities(
    kind: FieldType, scale: int, stated: Any, path: str, document: Document
) -> tuple[tuple[int, Severity], ...]:
    """The first step is for any difference, whatever its `above` says."""
    if isinstance(stated, str):
        return ((-1, Severity(stated)),)
    if kind not in _NUMBERS:
        document.report(
            path, f"steps need numbers, the type is {kind}", "one word: low, medium, high or critical"
        )
        return ()
    steps: list[tuple[int, Severity]] = []
    for index, step in enumerate(stated):
        above = _exact(step["above"], scale, f"{path}.{index}.above", document)
        if steps and above <= steps[-1][0]:
            document.report(f"{path}.{index}.above", "is not above the step before", "rising steps")
        steps.append((above, Severity(step["severity"])))
    return ((-1, steps[0][1]), *steps[1:])


def _tolerance(
    kind: FieldType, scale: int, stated: Mapping[str, Any], path: str, document: Document
) -> tuple[int, Fraction | None]:
    if not stated:
        return 0, None
    if kind is FieldType.TIME and "absolute" in stated:
        stated_text = str(stated["absolute"])
        if not stated_text[-1].isalpha() or "." in stated_text:
            document.report(
                f"{path}.tolerance.absolute", f"{stated_text!r} is no duration", "such as 5s or 250ms"
            )
            return 0, None
        return duration_us(stated_text), None
    if kind not in _NUMBERS:
        document.report(f"{path}.tolerance", f"means nothing for type {kind}", _WITH_NUMBERS)
        return 0, None
    if "absolute" in stated:
        return _exact(stated["absolute"], scale, f"{path}.tolerance.absolute", document), None
    words = str(stated["relative"])
    return 0, Fraction(words.removesuffix("%")) / (100 if words.endswith("%") else 1)


def _exact(stated: str | int, scale: int, path: str, document: Document) -> int:
    exact = scaled(str(stated), scale)
    if exact is None:
        document.report(
            path, f"{stated!r} cannot be held exactly", f"a decimal number with at most {scale} decimals"
        )
    return exact or 0

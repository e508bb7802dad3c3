"""Canonical scalars in messages that come back: what `show` prints, read again without loss."""

from __future__ import annotations

from typing import Any

from app.detector.model import Field, FieldType, Scalar
from app.detector.values import show
from app.rules.canonical import microseconds, scaled

_NUMBERS = (FieldType.AMOUNT, FieldType.TIME)
_PRINTED = (FieldType.AMOUNT, FieldType.INTEGER)
_PARSED = (*_PRINTED, FieldType.TIME)
"""Types of which a text is read as a number or a time where it looks like one."""
_SURELY_PRINTED = 1 << 512
"""Numbers below it are far from the digits that a text may have, at any scale."""


def show_scalar(field: Field, value: Scalar) -> Any:
    """A scalar as `show` prints it; where that could not be read back as the same scalar, tagged instead:
    `{"text": …}` for a text that looks like a number or a time (a column of another type gives those), and
    `{"integer": "0x…"}` for a number that its type cannot print."""
    kind = type(value)
    if kind is str and field.type not in _PARSED:
        return value
    if kind is int and field.type in _PRINTED and -_SURELY_PRINTED < value < _SURELY_PRINTED:  # type: ignore[operator]
        return show(field, value)
    try:
        shown = show(field, value)
        back = read_scalar(field, shown)
        if type(back) is type(value) and back == value:
            return shown
    except (ValueError, OverflowError, OSError):
        pass
    return {"integer": hex(value)} if type(value) is int else {"text": value}


def read_scalar(field: Field, shown: Any) -> Scalar:
    """The scalar of a shown one; a text that is no number or time stays text. Raises ValueError for what
    `show_scalar` never gives."""
    if type(shown) is str:
        exact = _number(field, shown)
        return shown if exact is None else exact
    if shown is None or type(shown) is bool:
        return shown
    if type(shown) is int:
        if field.type in _NUMBERS:
            raise ValueError(f"{field.name} is a JSON number, {field.type} needs text")
        return shown
    return _tagged(field, shown)


def _number(field: Field, text: str) -> int | None:
    if field.type is FieldType.AMOUNT:
        return scaled(text, field.scale)
    if field.type is FieldType.INTEGER:
        return scaled(text, 0)
    return microseconds(text) if field.type is FieldType.TIME else None


def _tagged(field: Field, shown: Any) -> Scalar:
    if type(shown) is dict and len(shown) == 1:
        ((tag, held),) = shown.items()
        if tag == "text" and type(held) is str:
            return held
        if tag == "integer" and type(held) is str:
            return int(held, 16)
    raise ValueError(f"{field.name} is no canonical value")

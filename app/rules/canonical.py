"""Canonical forms: what a value of a row or an entry becomes before it is compared (detector.md section 2).

Nothing here raises on a strange value: what a type cannot hold exactly becomes the text of itself, which is
equal to no number. None stays None (SQL NULL). Integers of more than `MAX_DIGITS` digits stay texts too.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from app.detector.model import FieldType, Scalar

Canonical: TypeAlias = Callable[[object], Scalar]

MAX_DIGITS: Final = 1000
"""PostgreSQL's widest declared numeric; Python refuses to print integers above 4,300 digits."""

LATEST_EVENT_US: Final = 253_370_764_799_999_999
"""The end of the year 9998: event times go from 1970 to here, and the calendar holds their windows too."""

_DECIMAL: Final = re.compile(r"(-?)(?=\.?[0-9])([0-9]*)(?:\.([0-9]+))?")
_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?))?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def text_of(value: object) -> str:
    """The text of any JSON value: strings as they are, the rest as compact JSON."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=str)
    except (ValueError, TypeError, RecursionError):
        return f"<{type(value).__name__}>"


def text(value: object) -> Scalar:
    """`text` and `address`: the text as it stands."""
    return value if type(value) is str or value is None else text_of(value)


def boolean(value: object) -> Scalar:
    """`boolean`: true and false only; 0, "t" and the like stay texts (use a map)."""
    return value if value is True or value is False or value is None else text_of(value)


def scaled(value: str, scale: int) -> int | None:
    """A decimal text as an integer with `scale` decimals; None where that is not exact, or not a number."""
    if value.isdecimal() and value.isascii() and len(value) <= MAX_DIGITS:
        factor: int = 10**scale
        return int(value) * factor  # the usual text; a regular expression costs four times as much
    found = _DECIMAL.fullmatch(value) if len(value) <= MAX_DIGITS else None
    if found is None:
        return None
    sign, whole, fraction = found.groups(default="")
    fraction = fraction.rstrip("0")
    if len(fraction) > scale:
        return None
    return int(f"{sign}{whole or 0}{fraction.ljust(scale, '0')}")


def decimals(scale: int) -> Canonical:
    """`amount` from a decimal text such as `12.3400000`, into an integer with `scale` decimals.

    The text of a numeric column with exactly `scale` decimals is the fast path (0.35 µs; a regular
    expression costs 1.5).
    """
    point, digits, limit = -scale - 1, -scale, MAX_DIGITS

    def amount(value: object) -> Scalar:
        if type(value) is str:
            if value[point:digits] == "." and len(value) <= limit:
                joined = value.replace(".", "", 1)
                if joined.isdecimal() and joined.isascii():
                    return int(joined)
            exact = scaled(value, scale)
            return value if exact is None else exact
        if value is None:
            return None
        if type(value) is int:
            exact = scaled(text_of_integer(value), scale)
            return text_of_integer(value) if exact is None else exact
        return text_of(value)

    return amount


def base_units(of_scale: int, scale: int) -> Canonical:
    """`amount` from an integer of base units with `of_scale` decimals, into one with `scale` decimals."""
    factor: int = 10 ** (scale - of_scale)

    def amount(value: object) -> Scalar:
        if type(value) is str:
            if value.isdecimal() and value.isascii() and len(value) <= MAX_DIGITS:
                return int(value) * factor
            exact = scaled(value, 0)
            return value if exact is None else exact * factor
        if value is None:
            return None
        if type(value) is int:
            shown = text_of_integer(value)
            return value * factor if len(shown) <= MAX_DIGITS else shown
        return text_of(value)

    return amount


def integer(value: object) -> Scalar:
    """`integer`: a JSON integer or a decimal text without a fraction (`5`, `"5"`, `"5.000"`)."""
    if type(value) is int:
        shown = text_of_integer(value) if value.bit_length() > 3000 else ""
        return value if len(shown) <= MAX_DIGITS else shown
    if type(value) is str:
        exact = scaled(value, 0)
        return value if exact is None else exact
    return None if value is None else text_of(value)


def text_of_integer(value: int) -> str:
    """Decimal text, or hexadecimal where Python refuses to print that many decimal digits."""
    return str(value) if value.bit_length() <= 10_000 else hex(value)


def time(zone: str | None) -> Canonical:
    """`time` as integer µs since 1970, UTC: from ISO 8601 text, or from integer seconds (a contract's clock).

    With `zone`, the text is the local time of a column without a zone, and its `Z` means nothing.
    """
    local = None if zone is None else ZoneInfo(zone)

    def instant(value: object) -> Scalar:
        if type(value) is int:
            return value * 1_000_000 if value.bit_length() < 60 else text_of_integer(value)
        if type(value) is not str:
            return None if value is None else text_of(value)
        micros = microseconds(value, local)
        if micros is None and value.isdecimal() and value.isascii() and len(value) <= 18:
            return int(value) * 1_000_000
        return value if micros is None else micros

    return instant


def microseconds(value: str, local: ZoneInfo | None = None) -> int | None:
    """An ISO 8601 date or time as µs since 1970; without an offset UTC; with `local`, offsets are ignored."""
    found = _TIME.fullmatch(value)
    if found is None:
        return None
    day, clock, offset = found.groups()
    try:
        stated = datetime.fromisoformat(f"{day}T{clock or '00:00:00'}{'' if local else offset or ''}")
        aware = stated if stated.tzinfo else stated.replace(tzinfo=local or UTC)
        return (aware - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return None


def bytes_from_base64(value: object) -> Scalar:
    """`bytes` of a column: base64 (the connector's setting) or PostgreSQL's `\\x…`, into lower-case hex."""
    if type(value) is not str:
        return None if value is None else text_of(value)
    if value.startswith("\\x"):
        return bytes_from_hex(value[2:])
    try:
        return base64.b64decode(value, validate=True).hex()
    except (binascii.Error, ValueError):
        return value


def bytes_from_hex(value: object) -> Scalar:
    """`bytes` of an entry: hex, into lower-case hex."""
    return value.lower() if type(value) is str else None if value is None else text_of(value)


def left_form(kind: FieldType, scale: int, own_scale: int | None, zone: str | None) -> Canonical:
    """The canonical form of a column. `own_scale`: the column holds base units with that many decimals."""
    if kind is FieldType.AMOUNT:
        return decimals(scale) if own_scale is None else base_units(own_scale, scale)
    if kind is FieldType.BYTES:
        return bytes_from_base64
    return time(zone) if kind is FieldType.TIME else _SAME_ON_BOTH[kind]


def right_form(kind: FieldType, scale: int, own_scale: int | None) -> Canonical:
    """The canonical form of an entry's field."""
    if kind is FieldType.AMOUNT:
        return decimals(scale) if own_scale is None else base_units(own_scale, scale)
    if kind is FieldType.BYTES:
        return bytes_from_hex
    return time(None) if kind is FieldType.TIME else _SAME_ON_BOTH[kind]


_SAME_ON_BOTH: Final[dict[FieldType, Canonical]] = {
    FieldType.TEXT: text,
    FieldType.ADDRESS: text,
    FieldType.INTEGER: integer,
    FieldType.BOOLEAN: boolean,
}

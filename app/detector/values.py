"""Canonical scalars: when two are equal, how they are printed, and the ids derived from them."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from decimal import Context, Decimal, InvalidOperation
from functools import lru_cache

from app.detector.model import SECOND, Field, FieldType, Scalar, Severity

_HASH = re.compile(r"sha256:[0-9a-f]{16}")
_LARGEST_EXACT_JSON_INTEGER = 1 << 53
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
"""The years 1 and 9999."""
_EXACT = Context(prec=1000)
"""More digits than two amounts of the lengths below can differ in."""


def format_time(us: int) -> str:
    """RFC 3339 UTC with `Z` and 0, 3 or 6 fraction digits (wire.md, common rules)."""
    seconds, fraction = divmod(us, SECOND)
    head = _format_second(seconds)
    if not fraction:
        return head + "Z"
    return f"{head}.{fraction // 1000:03d}Z" if fraction % 1000 == 0 else f"{head}.{fraction:06d}Z"


@lru_cache(maxsize=4096)
def _format_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def derive_id(*parts: object) -> str:
    """First 32 hex digits of sha256 of the compact UTF-8 JSON list of the parts (detector.md section 4)."""
    text = json.dumps(parts, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def are_equal(field: Field, left: Scalar, right: Scalar) -> bool:
    """Equality of one field: exact, or within the field's tolerance. NULL equals NULL only, a boolean no
    number."""
    if left == right:
        return isinstance(left, bool) == isinstance(right, bool)
    if field.is_exact or type(left) is not int or type(right) is not int:
        return False
    distance = abs(left - right)
    if distance <= field.absolute:
        return True
    return field.relative is not None and distance <= field.relative * abs(right)


def show(field: Field, value: Scalar) -> Scalar:
    """A scalar as it stands in a message: amounts as decimal text, times as RFC 3339 (where a calendar has
    them), wide integers as text."""
    if type(value) is not int:
        return value
    if field.type is FieldType.AMOUNT:
        return _show_amount(value, field.scale)
    if field.type is FieldType.TIME and _FIRST_SECOND <= value // SECOND <= _LAST_SECOND:
        return format_time(value)
    return value if abs(value) < _LARGEST_EXACT_JSON_INTEGER else str(value)


def _show_amount(units: int, scale: int) -> str:
    sign, units = ("-", -units) if units < 0 else ("", units)
    if scale == 0:
        return f"{sign}{units}"
    whole, fraction = divmod(units, 10**scale)
    return f"{sign}{whole}.{fraction:0{scale}d}".rstrip("0") if fraction else f"{sign}{whole}"


def show_difference(field: Field, left: Scalar, right: Scalar) -> str | None:
    """left - right as exact decimal text for amounts and integers; None for what is no number."""
    if field.type not in (FieldType.AMOUNT, FieldType.INTEGER):
        return None
    if type(left) is int and type(right) is int:
        return _show_amount(left - right, field.scale if field.type is FieldType.AMOUNT else 0)
    exact_left, exact_right = _as_decimal(field, left), _as_decimal(field, right)
    if exact_left is None or exact_right is None:
        return None
    return _show_decimal(_EXACT.subtract(exact_left, exact_right))


def _as_decimal(field: Field, value: Scalar) -> Decimal | None:
    """An amount that the scale cannot hold is kept as its text: its distance is still exact."""
    if type(value) is int:
        return _EXACT.scaleb(Decimal(value), -field.scale if field.type is FieldType.AMOUNT else 0)
    if not isinstance(value, str):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number.adjusted()) < 100 else None


def _show_decimal(number: Decimal) -> str:
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def severity_of(field: Field, left: Scalar, right: Scalar) -> Severity:
    """The step of `field.severities` that the absolute difference exceeds; the highest where it is no
    number."""
    if len(field.severities) == 1:
        return field.severities[0][1]
    if type(left) is not int or type(right) is not int:
        return field.severities[-1][1]
    distance = abs(left - right)
    reached = field.severities[0][1]
    for above, severity in field.severities:
        if distance > above:
            reached = severity
    return reached


def conceal(field: Field, shown: Scalar) -> Scalar:
    """What may leave of a sensitive field: a hash that can be compared, or nothing."""
    if field.sensitive is None:
        return shown
    return None if field.sensitive == "omit" else hash_shown(shown)


def hash_shown(shown: Scalar) -> Scalar:
    """The first 16 hex digits of the sha256 of a scalar's text; NULL, and what is such a hash, as it is."""
    if shown is None or (isinstance(shown, str) and _HASH.fullmatch(shown)):
        return shown
    return "sha256:" + hashlib.sha256(str(shown).encode("utf-8", "surrogatepass")).hexdigest()[:16]

"""How canonical scalars are printed, compared and weighed."""

from __future__ import annotations

from fractions import Fraction

import pytest

from app.detector import values
from app.detector.model import Field, FieldType, Scalar, Severity

AMOUNT = Field("a", FieldType.AMOUNT, 7)
WHOLE = Field("w", FieldType.AMOUNT, 0)
COUNT = Field("c", FieldType.INTEGER)
TIME = Field("t", FieldType.TIME)
TEXT = Field("x", FieldType.TEXT)
STEPS = Field("s", FieldType.AMOUNT, 2, ((-1, Severity.LOW), (100, Severity.HIGH), (1000, Severity.CRITICAL)))


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (1_785_578_437_000_000, "2026-08-01T10:00:37Z"),
        (1_785_578_437_120_000, "2026-08-01T10:00:37.120Z"),
        (1_785_578_437_000_001, "2026-08-01T10:00:37.000001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_a_time_has_no_three_or_six_fraction_digits(us: int, text: str) -> None:
    assert values.format_time(us) == text


def test_an_id_is_derived_from_compact_utf8_json() -> None:
    assert values.derive_id("r", "é", 1) == "54f859a630885941d83d8b943b555ab9"


def test_a_lone_surrogate_has_an_id_too() -> None:
    assert len(values.derive_id("\ud800")) == 32


@pytest.mark.parametrize(
    ("left", "right", "is_equal"),
    [(1, 1, True), (1, 2, False), (None, None, True), (None, 0, False), (True, 1, False), ("a", "a", True)],
)
def test_an_exact_field_is_equal_to_itself_only(left: Scalar, right: Scalar, is_equal: bool) -> None:
    assert values.are_equal(COUNT, left, right) is is_equal


@pytest.mark.parametrize(
    ("left", "right", "is_equal"), [(10, 15, True), (10, 16, False), (10, "15", False), (None, 3, False)]
)
def test_an_absolute_tolerance_holds_for_numbers(left: Scalar, right: Scalar, is_equal: bool) -> None:
    assert values.are_equal(Field("f", FieldType.INTEGER, absolute=5), left, right) is is_equal


@pytest.mark.parametrize(
    ("left", "right", "is_equal"), [(110, 100, True), (100, 110, True), (89, 100, False)]
)
def test_a_relative_tolerance_is_of_the_right_value(left: int, right: int, is_equal: bool) -> None:
    field = Field("f", FieldType.INTEGER, relative=Fraction(1, 10))
    assert values.are_equal(field, left, right) is is_equal


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        (AMOUNT, 123_400_000, "12.34"),
        (AMOUNT, -5, "-0.0000005"),
        (AMOUNT, 120_000_000, "12"),
        (AMOUNT, 0, "0"),
        (WHOLE, -120, "-120"),
        (Field("t", FieldType.AMOUNT, 1), 15, "1.5"),
        (TIME, 253_402_300_799_000_000, "9999-12-31T23:59:59Z"),
        (TIME, 253_402_300_800_000_000, "253402300800000000"),
        (TIME, -62_135_596_800_000_000, "0001-01-01T00:00:00Z"),
        (TIME, -62_135_596_800_000_001, "-62135596800000001"),
        (AMOUNT, "12.00000001", "12.00000001"),
        (TIME, 1_785_578_437_000_000, "2026-08-01T10:00:37Z"),
        (TIME, 10**24, str(10**24)),
        (TIME, -(10**18), str(-(10**18))),
        (COUNT, 2**53 - 1, 2**53 - 1),
        (COUNT, -(2**53), str(-(2**53))),
        (TEXT, "a", "a"),
        (TEXT, None, None),
    ],
)
def test_a_scalar_is_shown_as_it_stands_in_a_message(field: Field, value: Scalar, shown: Scalar) -> None:
    assert values.show(field, value) == shown


@pytest.mark.parametrize(
    ("field", "left", "right", "difference"),
    [
        (AMOUNT, 10_000_000, 15_000_000, "-0.5"),
        (COUNT, 7, 3, "4"),
        (AMOUNT, 10**38 + 1, 1, "10000000000000000000000000000000"),
        (AMOUNT, "0.00000001", 10**38 + 1, "-10000000000000000000000000000000.00000009"),
        (AMOUNT, "1.00000001", "1.00000001", "0"),
        (AMOUNT, "0.50000000", 0, "0.5"),
        (COUNT, "1.5", 1, "0.5"),
        (AMOUNT, "100.000000010", 0, "100.00000001"),
        (COUNT, 1, None, None),
        (COUNT, "many", 1, None),
        (COUNT, "NaN", 1, None),
        (COUNT, "1e999", 1, None),
        (COUNT, "1e100", 1, None),
        (COUNT, "1e99", 1, "9" * 99),
        (COUNT, True, "1.5", None),
        (TEXT, "a", "b", None),
    ],
)
def test_a_difference_is_exact_or_not_told(
    field: Field, left: Scalar, right: Scalar, difference: str | None
) -> None:
    assert values.show_difference(field, left, right) == difference


@pytest.mark.parametrize(
    ("left", "right", "severity"),
    [
        (0, 100, Severity.LOW),
        (5000, 4950, Severity.LOW),
        (0, 101, Severity.HIGH),
        (2000, 0, Severity.CRITICAL),
        (None, 0, Severity.CRITICAL),
        (0, "much", Severity.CRITICAL),
    ],
)
def test_severity_is_the_step_that_the_difference_exceeds(
    left: Scalar, right: Scalar, severity: Severity
) -> None:
    assert values.severity_of(STEPS, left, right) is severity


def test_one_step_is_for_every_difference() -> None:
    assert values.severity_of(TEXT, "a", "b") is Severity.MEDIUM


def test_a_sensitive_field_leaves_as_a_hash_or_not_at_all() -> None:
    hashed, omitted = (Field("f", FieldType.TEXT, sensitive=how) for how in ("hash", "omit"))  # type: ignore[arg-type]

    assert values.conceal(hashed, "a") == "sha256:ca978112ca1bbdca"
    assert values.conceal(hashed, None) is None
    assert values.conceal(omitted, "a") is None
    assert values.conceal(TEXT, "a") == "a"

"""What a rule says where its file says nothing."""

from __future__ import annotations

from app.detector.model import INFINITY, SECOND, Field, FieldType, Rule, Severity, Window

DAY = 86_400 * SECOND


def test_a_field_is_exact_has_no_decimals_and_is_of_medium_severity() -> None:
    field = Field("f", FieldType.INTEGER)
    assert (field.scale, field.absolute, field.relative, field.sensitive) == (0, 0, None, None)
    assert field.severities == ((-1, Severity.MEDIUM),)
    assert field.is_exact


def test_the_windows_and_limits_of_a_rule_are_those_that_are_documented() -> None:
    rule = Rule("r", 1, ())
    assert rule.window == Window(30 * SECOND, 10 * SECOND, 2 * SECOND, 2 * SECOND)
    assert (rule.hysteresis_us, rule.reopen_us) == (0, 600 * SECOND)
    assert (rule.blind_after_us, rule.confirm_us) == (60 * SECOND, 10 * SECOND)
    assert rule.retain_us == 7 * DAY
    assert (rule.max_versions, rule.max_bytes) == (1024, 128 * 1024)
    assert rule.existence_severity is Severity.CRITICAL


def test_no_time_comes_near_infinity() -> None:
    assert INFINITY > 10_000 * 366 * DAY

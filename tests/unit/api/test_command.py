"""`driftwatch api keys add`: what it refuses before it asks any database."""

from __future__ import annotations

import pytest

from app.cases import Role
from app.cli.api import _seconds, add
from app.errors import Fatal


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101, "environment"])
def test_a_name_that_says_nothing_in_the_audit_log_is_refused(name: str) -> None:
    with pytest.raises(Fatal, match="no name"):
        add(name, Role.VIEWER, None, None)


def test_a_rule_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(Fatal, match="Credit Line: this is no id of a rule"):
        add("ada", Role.VIEWER, ["credit-line", "Credit Line"], None)


def test_a_key_is_good_for_seconds_to_days() -> None:
    assert [_seconds(text) for text in ("90d", " 12h", "30m", "1.5d")] == [7_776_000, 43_200, 1800, 129_600]


@pytest.mark.parametrize("text", ["0d", "d", "", "soon", "-1d"])
def test_what_is_no_time_to_come_is_refused(text: str) -> None:
    with pytest.raises(Fatal):
        add("ada", Role.VIEWER, None, text)

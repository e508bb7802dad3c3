"""Token buckets."""

from __future__ import annotations

import pytest

from app.api.limits import TokenBuckets
from tests.support.sweeping import HandClock


def test_a_burst_passes_and_then_one_a_period() -> None:
    clock = HandClock()
    buckets = TokenBuckets(2, 3, clock)

    assert [buckets.take("a") for _ in range(4)] == [None, None, None, 0.5]
    clock.passed = 0.25
    assert buckets.take("a") == pytest.approx(0.25)
    clock.passed = 0.5
    assert [buckets.take("a"), buckets.take("a")] == [None, 0.5]


def test_a_bucket_fills_to_its_burst_and_no_further() -> None:
    clock = HandClock()
    buckets = TokenBuckets(1, 2, clock)
    buckets.take("a")
    clock.passed = 1000.0

    assert [buckets.take("a") is None for _ in range(3)] == [True, True, False]


def test_names_have_buckets_of_their_own() -> None:
    buckets = TokenBuckets(1, 1, HandClock())

    assert [buckets.take("a"), buckets.take("b"), buckets.take("a")] == [None, None, 1.0]


def test_without_a_rate_there_is_no_limit() -> None:
    buckets = TokenBuckets(0, 0, HandClock())

    assert {buckets.take("a") for _ in range(100)} == {None}

"""The keys that a sweep has met: told apart as in a set, and small."""

from __future__ import annotations

import sys

from app.sweep.met import MetKeys


def test_a_key_is_met_once_and_found_again() -> None:
    met = MetKeys()
    keys = [f"key {number}" for number in range(5000)]
    assert all(met.add(key) for key in keys)
    assert not any(met.add(key) for key in keys)
    assert all(key in met for key in keys)
    assert not any(f"other {number}" in met for number in range(5000))
    assert len(met) == 5000
    met.update(["key 1", "new"])
    assert len(met) == 5001


def test_a_key_takes_up_few_bytes() -> None:
    met = MetKeys()
    met.update(map(str, range(400_000)))
    held = sum(sys.getsizeof(bucket) for bucket in met._buckets if bucket is not None)
    assert held / len(met) < 32

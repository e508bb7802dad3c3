"""Bounds and percentiles of what was counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

_Z95: Final = 1.959964


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95 % bounds of a proportion (Wilson's score interval, E. B. Wilson 1927); (0, 1) of nothing."""
    if total == 0:
        return 0.0, 1.0
    share, z2 = right / total, _Z95 * _Z95
    middle = share + z2 / (2 * total)
    reach = _Z95 * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    low, high = (middle - reach) / (1 + z2 / total), (middle + reach) / (1 + z2 / total)
    return (0.0 if right == 0 else low), (1.0 if right == total else high)


def ratio_bounds(pairs: Sequence[tuple[float, float]]) -> tuple[float, float, float] | None:
    """The sum of the first over the sum of the second numbers, with 95 % bounds from how the pairs, which are
    independent, scatter around it (the linearised ratio estimator, W. G. Cochran 1977, 6.3); None where the
    second numbers are all nought."""
    below = sum(second for _, second in pairs)
    if not below:
        return None
    ratio, count = sum(first for first, _ in pairs) / below, len(pairs)
    if count == 1:
        return ratio, 0.0, math.inf
    squares = sum((first - ratio * second) ** 2 for first, second in pairs)
    reach = _Z95 * math.sqrt(squares * count / (count - 1)) / below
    return ratio, max(ratio - reach, 0.0), ratio + reach


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The nearest-rank percentile; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]

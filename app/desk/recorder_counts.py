"""What the store has counted, as metrics under the names that people know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from app.recording import Number

BOUNDS_S: Final = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Of `reconciliation_run_duration_seconds`."""
SEVERITIES: Final = ("low", "medium", "high", "critical")
STATUSES: Final = ("completed", "failed")
LETTERS: Final = ("run", "webhook", "record")

Samples: TypeAlias = dict[tuple[str, ...], float]
_CHECKS: Final = (("checks", None), ("checks_passed", "passed"), ("checks_failed", "failed"))


class Counted(Collector):
    """Nothing is shown by a recorder to which nothing was told: one recorder shows it for all.

    Of rules that are known, series are there from the start, at zero: the first one is an increase too.
    `checks` names those of each rule.
    """

    def __init__(self, checks: Mapping[str, Sequence[str]]) -> None:
        self._checks = checks
        self._numbers: Sequence[Number] | None = None

    def show(self, numbers: Sequence[Number] | None) -> None:
        """What one look at the store has found; None: another recorder shows it."""
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        """All of one look."""
        for family, samples in self._families():
            for labels, value in sorted(samples.items()):
                family.add_metric(labels, value)
            yield family
        yield self._durations()

    def _families(self) -> Iterator[tuple[CounterMetricFamily | GaugeMetricFamily, Samples]]:
        yield (
            CounterMetricFamily("reconciliation_runs", "Sweeps that are over", labels=["rule", "status"]),
            self._samples("runs", STATUSES),
        )
        for name, verdict in _CHECKS:
            yield (
                CounterMetricFamily(
                    f"reconciliation_{name}", "Checks of sweeps that are over", labels=["rule", "check_type"]
                ),
                self._samples("checks", None, verdict),
            )
        yield (
            GaugeMetricFamily(
                "reconciliation_exceptions_unresolved", "Episodes open now", labels=["rule", "severity"]
            ),
            self._samples("open", SEVERITIES),
        )
        yield (
            GaugeMetricFamily(
                "reconciliation_discrepancy_amount",
                "Sum of the absolute differences that are open, in the unit of the field",
                labels=["rule", "check_type"],
            ),
            self._samples("amount", None),
        )
        yield (
            GaugeMetricFamily(
                "driftwatch_desk_discrepancies",
                "How many differences that sum is of",
                labels=["rule", "check_type"],
            ),
            self._samples("amounts", None),
        )
        yield (
            GaugeMetricFamily(
                "driftwatch_desk_persistent_critical",
                "Critical episodes that have been open for longer than DRIFTWATCH_PERSISTENT_AFTER",
                labels=["rule"],
            ),
            _drop_label(self._samples("persistent", ("",))),
        )
        yield (
            GaugeMetricFamily(
                "driftwatch_desk_dead_letters",
                "What was given up, and was neither sent again nor resolved",
                labels=["kind"],
            ),
            self._letters(),
        )

    def _samples(self, name: str, labels: Iterable[str] | None, sublabel: str | None = None) -> Samples:
        """By rule and label; `labels` None: the rule's checks. `sublabel` None: of all sublabels."""
        if self._numbers is None:
            return {}
        found: Samples = {
            (rule, label): 0.0
            for rule, checks in self._checks.items()
            for label in (checks if labels is None else labels)
        }
        for each in self._numbers:
            if each.name == name and sublabel in (None, each.sublabel):
                place = (each.rule, each.label)
                found[place] = found.get(place, 0.0) + each.value
        return found

    def _letters(self) -> Samples:
        if self._numbers is None:
            return {}
        found: Samples = {(kind,): 0.0 for kind in LETTERS}
        for each in self._numbers:
            if each.name == "letters":
                found[each.label,] = found.get((each.label,), 0.0) + each.value
        return found

    def _durations(self) -> HistogramMetricFamily:
        """The store counts how many upper bounds a run is within: all but that many are too low for it."""
        family = HistogramMetricFamily(
            "reconciliation_run_duration_seconds", "How long sweeps took", labels=["rule"]
        )
        numbers = self._numbers or ()
        seconds: dict[str, float] = {}
        for each in numbers:
            if each.name == "seconds":
                seconds[each.rule] = seconds.get(each.rule, 0.0) + each.value
        for rule, total in sorted(seconds.items()):
            within = [0.0] * (len(BOUNDS_S) + 1)
            for each in numbers:
                if each.name == "duration" and each.rule == rule:
                    within[len(BOUNDS_S) - int(each.label)] += each.value
            names = [*(str(bound) for bound in BOUNDS_S), "+Inf"]
            family.add_metric([rule], list(zip(names, accumulate(within), strict=True)), total)
        return family


def _drop_label(samples: Samples) -> Samples:
    return {labels[:1]: value for labels, value in samples.items()}

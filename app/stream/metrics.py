"""The worker's metrics: counted where things happen, gauges read when scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from app.clock import Clock
from app.detector.model import INFINITY, SECOND
from app.detector.trust import CLOCK, SCHEMA
from app.ports import INCIDENT_CAUSES, Codec

if TYPE_CHECKING:
    from app.stream.rule_partition import RulePartition

LATENCIES_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class WorkerMetrics:
    """All `driftwatch_*` of a worker. `held` are the rules of the partitions that it owns now."""

    def __init__(self, clock: Clock, codecs: Mapping[str, Codec]) -> None:
        self.clock, self.codecs = clock, codecs
        self.registry = CollectorRegistry()
        self.held: dict[tuple[str, int], RulePartition] = {}
        self._retired: dict[tuple[str, str], int] = {}
        self.events: Callable[[], Mapping[str, int]] = dict
        self.parked: Callable[[], int] = lambda: 0
        self.mismatches = Counter(
            "driftwatch_mismatches",
            "Transitions published",
            ["rule", "severity", "transition"],
            registry=self.registry,
        )
        self.dead_letters = Counter(
            "driftwatch_dead_letters",
            "Records that no codec understands",
            ["stage"],
            registry=self.registry,
        )
        self.incidents = Counter(
            "driftwatch_incidents", "Lost or untrusted input", ["cause"], registry=self.registry
        )
        for cause in sorted(INCIDENT_CAUSES):
            self.incidents.labels(cause)  # there from the start: the first one is an increase too
        self.dead_letters.labels("decode")
        self.lost_offsets = Counter(
            "driftwatch_lost_offsets", "Records of a contiguous log that never came", registry=self.registry
        )
        self.latency = Histogram(
            "driftwatch_detection_latency_seconds",
            "From the arrival of the mark that made a verdict possible to its publication",
            buckets=LATENCIES_S,
            registry=self.registry,
        )
        self.registry.register(self)

    def retire(self, rule: str, partition: int) -> None:
        """The partition moved; what was counted in it stays counted."""
        held = self.held.pop((rule, partition), None)
        if held is not None:
            for what, count in held.detector.counts.items():
                self._retired[rule, what] = self._retired.get((rule, what), 0) + count

    def _observed(self) -> dict[tuple[str, str], int]:
        found = dict(self._retired)
        for (rule, _), held in self.held.items():
            for what, count in held.detector.counts.items():
                found[rule, what] = found.get((rule, what), 0) + count
        return found

    def collect(self) -> Iterable[Metric]:
        """What is read when scraped."""
        yield _counted("driftwatch_events", "Records taken in", "topic", self.events())
        yield _counted("driftwatch_skipped", "Records that concern no rule", "cause", self._skipped())
        told = CounterMetricFamily("driftwatch_observed", "What the detector counts", labels=["rule", "what"])
        for (rule, what), count in self._observed().items():
            told.add_metric([rule, what], count)
        yield told
        yield GaugeMetricFamily(
            "driftwatch_parked_partitions", "Partitions that stand still at a record", value=self.parked()
        )
        yield from self._by_rule()
        yield from self._by_trust()

    def _skipped(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for codec in self.codecs.values():
            for cause, count in codec.skipped.items():
                found[cause] = found.get(cause, 0) + count
        return found

    def _by_rule(self) -> Iterable[Metric]:
        lag = GaugeMetricFamily(
            "driftwatch_side_lag_seconds", "Now less the watermark", labels=["rule", "side"]
        )
        age = GaugeMetricFamily(
            "driftwatch_verified_through_age_seconds", "Now less verified through", labels=["rule"]
        )
        active = GaugeMetricFamily(
            "driftwatch_open_episodes", "Episodes open now", labels=["rule", "severity"]
        )
        keys = GaugeMetricFamily("driftwatch_keys", "Keys of which something is held", labels=["rule"])
        version = GaugeMetricFamily(
            "driftwatch_rule_version", "The version of a rule that judges", labels=["rule", "partition"]
        )
        for (rule, partition), held in sorted(self.held.items()):
            version.add_metric([rule, str(partition)], held.rule.version)
        suspects = GaugeMetricFamily(
            "driftwatch_suspects", "Drift that waits for a live read of both sides", labels=["rule"]
        )
        now = self.clock.now_us()
        for rule in sorted({rule for rule, _ in self.held}):
            mine = [held for (name, _), held in self.held.items() if name == rule]
            of_rule = [held.detector for held in mine]
            keys.add_metric([rule], sum(held.keys for held in mine))
            suspects.add_metric([rule], sum(len(each.suspects.waiting) for each in of_rule))
            reached = [min(sides) for sides in zip(*(each.watermarks() for each in of_rule), strict=True)]
            for side, watermark in zip(("left", "right"), reached, strict=True):
                if watermark > -INFINITY:
                    lag.add_metric([rule, side], (now - watermark) / SECOND)
            verified = min(each.judged_through for each in of_rule)
            if verified > -INFINITY // 2:
                age.add_metric([rule], (now - verified) / SECOND)
            for severity in ("low", "medium", "high", "critical"):
                count = sum(each.open_by_severity.get(severity, 0) for each in of_rule)
                active.add_metric([rule, severity], count)
        yield lag
        yield age
        yield active
        yield keys
        yield version
        yield suspects

    def _by_trust(self) -> Iterable[Metric]:
        """What of each rule cannot be verified now, and why."""
        unknown = GaugeMetricFamily(
            "driftwatch_unverifiable_keys", "Keys that are unknown now on a side", labels=["rule"]
        )
        offset = GaugeMetricFamily(
            "driftwatch_clock_offset_seconds",
            "The left side's clock less the right one's, as far as it is certain",
            labels=["rule"],
        )
        blind = GaugeMetricFamily("driftwatch_blind", "1 while nothing is judged", labels=["rule", "cause"])
        doubted = GaugeMetricFamily(
            "driftwatch_unverifiable", "1 while a side cannot be trusted", labels=["rule", "cause"]
        )
        for rule in sorted({rule for rule, _ in self.held}):
            mine = [held for (name, _), held in self.held.items() if name == rule]
            trusts = [held.detector.trust for held in mine]
            unknown.add_metric([rule], sum(each.detector.count_unverifiable(each.keys) for each in mine))
            known = [each.clocks.offset_us for each in trusts if each.clocks.offset_us is not None]
            if known:
                offset.add_metric([rule], max(known, key=abs) / SECOND)
            blind.add_metric([rule, CLOCK], any(each.is_blind for each in trusts))
            blind.add_metric([rule, "silent"], any(each.blind for each in mine))
            for cause in (CLOCK, SCHEMA):
                doubted.add_metric([rule, cause], any(cause in each.causes for each in trusts))
        yield unknown
        yield offset
        yield blind
        yield doubted


def _counted(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family

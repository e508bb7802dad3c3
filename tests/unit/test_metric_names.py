"""Dashboards, alerts and the runbook speak of metrics that the program has, and of all alerts there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry

from app.api.metrics import ApiMetrics
from app.clock import SystemClock
from app.desk.canary import CanaryMetrics
from app.desk.notifier.metrics import NotifierMetrics
from app.desk.recorder_metrics import RecorderMetrics
from app.stream.metrics import WorkerMetrics
from app.sweep.metrics import SweepMetrics
from connectors.debezium.metrics import ConnectMetrics
from connectors.soroban.metrics import PollerMetrics

CONNECTORS = Path(__file__).parents[2] / "connectors"
PROMETHEUS = CONNECTORS / "prometheus"
NAME = re.compile(r"\bdriftwatch_[a-z_]+\b")
SUFFIXES = ("_bucket", "_total", "_sum", "_count", "_created")


def names_of(registry: CollectorRegistry) -> set[str]:
    """The families, without what exposition appends to their names."""
    return {bare(family.name) for family in registry.collect()}


def bare(name: str) -> str:
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def known() -> set[str]:
    registries = [
        WorkerMetrics(SystemClock(), {}).registry,
        PollerMetrics().registry,
        ConnectMetrics().registry,
        SweepMetrics(SystemClock()).registry,
        RecorderMetrics(SystemClock(), {}).registry,
        NotifierMetrics().registry,
        CanaryMetrics().registry,
        ApiMetrics().registry,
    ]
    return set().union(*map(names_of, registries))


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((PROMETHEUS / "driftwatch.rules.yml").read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def test_every_panel_asks_for_metrics_that_there_are() -> None:
    for path in (CONNECTORS / "grafana" / "dashboards").glob("*.json"):
        board = json.loads(path.read_text(encoding="utf-8"))
        asked = {bare(name) for panel in board["panels"] for name in NAME.findall(json.dumps(panel))}
        assert asked
        assert asked <= known(), path.name


def test_every_alert_asks_for_metrics_that_there_are() -> None:
    asked = {bare(name) for rule in rules() for name in NAME.findall(rule["expr"])}
    assert asked <= known()


def test_every_alert_has_a_test_and_its_line_in_the_runbook() -> None:
    tests = (PROMETHEUS / "driftwatch.rules.test.yml").read_text(encoding="utf-8")
    runbook = (PROMETHEUS / "README.md").read_text(encoding="utf-8")
    for rule in rules():
        name = rule["alert"]
        assert f"alertname: {name}\n" in tests, f"{name} has no test in which it fires"
        assert f"\n## {name}\n" in runbook
        assert rule["annotations"]["runbook"] == f"connectors/prometheus/README.md#{name.lower()}"


def test_the_runbook_lists_metrics_that_there_are() -> None:
    table = (PROMETHEUS / "README.md").read_text(encoding="utf-8").partition("\n## ")[0]
    assert {bare(name) for name in NAME.findall(table)} <= known()

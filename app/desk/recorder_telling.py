"""The warning that each mismatch is, whatever becomes of the store; its fields are a contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from app.desk.recorder_metrics import RecorderMetrics
from app.recording import Kept, Kind
from app.rules import LoadedRule
from app.telemetry import get_logger

log = get_logger(__name__)

SERVICE: Final = "reconciliation"
_EXISTENCE: Final = "existence"
_ESCROW: Final = "escrow"
_TOLD: Final = ("opened", "reopened")


@dataclass(frozen=True, slots=True)
class KnownRules:
    """What the recorder reads out of rule files. `checks`: what a sweep of a rule checks, in the rule's
    order; `funded`: of each rule over escrow contracts, its field for the amount that was funded."""

    checks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    funded: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, rules: Iterable[LoadedRule]) -> KnownRules:
        """Of these rules; what no rule file names is recorded all the same."""
        checks: dict[str, Sequence[str]] = {}
        funded: dict[str, str] = {}
        for loaded in rules:
            rule = loaded.rule
            checks[rule.id] = (_EXISTENCE, *(each.name for each in rule.fields))
            amounts = [each.name for each in rule.fields if each.type == "amount"]
            if loaded.right.entry == _ESCROW and amounts:
                funded[rule.id] = amounts[0]
        return cls(checks, funded)


class Teller:
    """Logs and counts mismatches. Values come as the topic has them: sensitive ones hashed or left out."""

    def __init__(self, rules: KnownRules, metrics: RecorderMetrics) -> None:
        self._rules, self._metrics = rules, metrics

    def tell(self, kept: Kept) -> None:
        """One warning for an episode that was opened or opened again, one for a run that was given up."""
        if kept.kind is Kind.DEAD_LETTERS and kept.row["kind"] == "run":
            self._tell_run(kept.row)
        elif kept.kind is Kind.TRANSITIONS and kept.row["transition"] in _TOLD:
            self._tell_mismatch(kept.row)

    def _tell_mismatch(self, row: Mapping[str, object]) -> None:
        rule, value = str(row["rule"]), cast("dict[str, Any]", row["value"])
        differences = {each["field"]: each for each in value["differences"]}
        more: dict[str, object] = {}
        if rule in self._rules.funded:
            shown = differences.get(self._rules.funded[rule], {})
            more = {
                "invoiceId": row["key"],
                "dbFundedTotal": shown.get("left"),
                "onChainAmount": shown.get("right"),
            }
            self._metrics.escrow_mismatches.inc()
        self._metrics.mismatches.labels(rule, str(row["severity"])).inc()
        log.warning(
            "Drift was opened" if row["transition"] == "opened" else "Drift was opened again",
            event_name="mismatch",
            service=SERVICE,
            severity=row["severity"],
            rule=rule,
            key=row["key"],
            episode=row["episode"],
            sequence=row["sequence"],
            transition=row["transition"],
            fields=list(differences),
            **more,
        )

    def _tell_run(self, row: Mapping[str, object]) -> None:
        log.warning(
            "A run was given up",
            event_name="run_given_up",
            service=SERVICE,
            rule=row["rule"],
            run=row["reference"],
            attempts=row["attempts"],
            reason=row["reason"],
        )

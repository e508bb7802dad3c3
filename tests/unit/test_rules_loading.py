"""Loading rule files: what is taken, what is refused, and that every problem is named at once."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from app.detector.model import ABSENT, INFINITY, OUT, FieldType, Severity, Window
from app.errors import Fatal
from app.rules import LoadedRule, inspect_rules, load_rules
from app.settings import RULES_FOLDER

CREDIT = RULES_FOLDER / "credit.yaml"
ENVIRONMENT = {"CREDIT_CONTRACT_ID": "CCREDIT"}
MINIMAL = """
rule: small
version: 3
kind: state
left: {table: public.things, key: name}
right: {contract: CTHING, entry: thing}
fields:
  total: {left: total, right: total, type: amount}
"""


def loaded(folder: Path, text: str, *overrides: str) -> LoadedRule:
    file = folder / "rule.yaml"
    file.write_text(text, encoding="utf-8")
    return load_rules([file], ENVIRONMENT, overrides)[0]


def problems(folder: Path, text: str, *overrides: str) -> dict[str, str]:
    file = folder / "rule.yaml"
    file.write_text(text, encoding="utf-8")
    rules, found = inspect_rules([file], ENVIRONMENT, overrides)
    assert not rules
    assert all(problem.file == str(file) for problem in found)
    return {problem.path: f"{problem.what}; {problem.allowed}" for problem in found}


def test_the_shipped_credit_rule_says_what_wire_md_says() -> None:
    rule = load_rules([CREDIT], ENVIRONMENT)[0]

    assert (rule.rule.id, rule.rule.version) == ("credit-line", 1)
    assert [(field.name, field.type, field.scale) for field in rule.rule.fields] == [
        ("walletAddress", FieldType.ADDRESS, 0),
        ("creditLimit", FieldType.AMOUNT, 7),
        ("status", FieldType.TEXT, 0),
        ("availableCredit", FieldType.AMOUNT, 7),
        ("interestRateBps", FieldType.INTEGER, 0),
    ]
    assert rule.rule.window == Window(30_000_000, 10_000_000, 2_000_000, 2_000_000)
    assert rule.rule.existence_severity is Severity.CRITICAL
    assert (rule.left.source, rule.left.table, rule.left.key) == (
        None,
        "public.credit_lines",
        "wallet_address",
    )
    assert (rule.right.network, rule.right.contract, rule.right.entry) == (None, "CCREDIT", "credit-line")
    assert set(rule.left.columns) == {
        "wallet_address",
        "deleted_at",
        "credit_limit",
        "status",
        "available_credit",
        "interest_rate_bps",
    }


def test_what_a_rule_does_not_say_has_the_defaults_of_wire_md(tmp_path: Path) -> None:
    rule = loaded(tmp_path, MINIMAL)

    assert rule.rule.window == Window(30_000_000, 10_000_000, 2_000_000, 2_000_000)
    assert (rule.rule.hysteresis_us, rule.rule.reopen_us, rule.rule.blind_after_us) == (
        0,
        600_000_000,
        60_000_000,
    )
    assert rule.rule.fields[0].severities == ((-1, Severity.MEDIUM),)
    assert rule.rule.existence_severity is Severity.CRITICAL
    assert (rule.rule.confirm_us, rule.settings.flaps) == (10_000_000, 5)
    assert rule.left.images_are_full is False


def test_the_least_length_of_a_violation_follows_skew(tmp_path: Path) -> None:
    assert loaded(tmp_path, MINIMAL, "window.skew=5s").rule.window.min_us == 5_000_000
    assert loaded(tmp_path, MINIMAL, "window={skew: 5s, min: 0s}").rule.window.min_us == 0


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("250ms", 250_000),
        ("30s", 30_000_000),
        ("10m", 600_000_000),
        ("1h", 3_600_000_000),
        ("30d", 2_592_000_000_000),
    ],
)
def test_durations_have_a_unit(tmp_path: Path, text: str, microseconds: int) -> None:
    assert loaded(tmp_path, MINIMAL, f"window.lag={text}").rule.window.lag_us == microseconds


def test_every_optional_path_is_taken(tmp_path: Path) -> None:
    rule = loaded(
        tmp_path,
        """
rule: full
version: 1
kind: state
hysteresis: 3s
reopen: 1m
flapping: {flaps: 3, within: 2h}
blind_after: 90s
confirm: off
sweep: {every: 1h, daily: 02:00, zone: Europe/Paris, fail_run_on: critical}
left: {source: db, table: public.t, key: k, primary_key: [a, b], scope: {state: [1, open, null]},
       out_of_scope: agrees, replica_identity: full}
right: {network: cee3, contract: C, entry: e, scope: {kind: live}}
fields:
  existence: {severity: low}
  amount: {left: x, right: y, type: amount, left_scale: 2, right_scale: 7, tolerance: {absolute: 0.01},
           severity: [{above: 0, severity: low}, {above: 100, severity: high}], sensitive: hash}
  rate: {left: x, right: y, type: integer, tolerance: {relative: 0.5%}}
  at: {left: x, right: y, type: time, zone: Europe/Paris, tolerance: {absolute: 2s}}
exempt:
  - {key: K, fields: [rate], from: 2026-08-01, until: 2026-08-02T00:00:00Z, reason: migration}
  - {reason: always}
remedies:
  - {action: update_row, fields: [amount], up_to: 10.5, automatic: true}
""",
    )

    amount, rate, at = rule.rule.fields
    assert (amount.scale, amount.absolute, amount.sensitive) == (7, 100_000, "hash")
    assert amount.severities == ((-1, Severity.LOW), (1_000_000_000, Severity.HIGH))
    assert (rate.relative, rate.is_exact) == (Fraction(1, 200), False)
    assert at.absolute == 2_000_000
    assert (rule.rule.left_source, rule.rule.right_source) == ("db", "cee3")
    first, second = rule.rule.exemptions
    assert (first.key, first.fields, first.until_us - first.from_us) == ("K", {"rate"}, 86_400_000_000)
    assert (second.key, second.fields, second.from_us, second.until_us) == (None, set(), -INFINITY, INFINITY)
    assert rule.rule.confirm_us is None
    assert (rule.settings.sweep_every_us, rule.settings.sweep_daily) == (3_600_000_000, "02:00")
    assert (rule.settings.sweep_zone, rule.settings.fail_run_on) == ("Europe/Paris", "critical")
    assert rule.left.primary_key == ("a", "b")
    assert rule.left.images_are_full is True


def test_every_problem_of_a_file_is_named_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
rule: Bad Name
version: 0
kind: stat
windw: {lag: 30s}
window: {lag: 30 secs}
left: {table: credit_lines, key: wallet_address, primarykey: id}
right: {contract: "${UNSET_ID}"}
fields:
  a: {left: x, right: {minus: [a]}, type: amount, severity: urgent}
  b: {left: x, right: {minus: [a, b]}, type: text}
  c: {left: x, right: y, type: text, severity: [{above: 1, severity: low}], zone: Mars/Base}
  d: {left: x, right: y, type: amount, right_scale: 2, tolerance: {absolute: 0.001}}
  e: {left: x, right: y, type: amount, severity: [{above: 5, severity: low}, {above: 5, severity: high}]}
exempt: [{until: tomorrow}]
""",
        "nonsense",
        "window.lagg=3s",
    )

    assert found.keys() == {
        "nonsense",
        "rule",
        "version",
        "kind",
        "windw",
        "window.lag",
        "window.lagg",
        "left.table",
        "left.primarykey",
        "right.contract",
        "fields.a.right.minus",
        "fields.a.severity",
        "fields.b.right.minus",
        "fields.c.severity",
        "fields.c.zone",
        "fields.d.tolerance.absolute",
        "fields.e.severity.1.above",
        "exempt.0.reason",
        "exempt.0.until",
    }
    assert "window?" in found["windw"]
    assert "lag?" in found["window.lagg"]
    assert "primary_key?" in found["left.primarykey"]
    assert "UNSET_ID is not set" in found["right.contract"]
    assert "250ms, 30s, 10m" in found["window.lag"]


def test_problems_of_several_files_come_together(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [", encoding="utf-8")

    with pytest.raises(Fatal) as raised:
        load_rules([broken, tmp_path / "none.yaml", CREDIT, CREDIT], {})

    told = str(raised.value)
    assert "broken.yaml: is not YAML" in told
    assert "none.yaml: cannot be read" in told
    assert told.count("CREDIT_CONTRACT_ID is not set") == 2


def test_two_rules_of_one_id_are_refused() -> None:
    _, found = inspect_rules([CREDIT, CREDIT], ENVIRONMENT)

    assert [problem.path for problem in found] == ["rule"]


def test_two_rules_may_not_key_one_table_differently(tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(MINIMAL.replace("public.things", "public.credit_lines"), encoding="utf-8")

    _, found = inspect_rules([CREDIT, other], ENVIRONMENT)

    assert [problem.path for problem in found] == ["left.key"]


@pytest.mark.parametrize("kind", ["match", "balance", "invariant"])
def test_a_kind_that_cannot_run_yet_is_refused_clearly(tmp_path: Path, kind: str) -> None:
    blocks = {
        "match": "{reference: ref, amount: amount, count: true, retain: 30d}",
        "balance": "{account: acc, amount: {left: amount, right: {negate: amount}}}",
        "invariant": "{group: tx, expression: {minus: [debit, credit]}, equals: 0}",
    }

    found = problems(tmp_path, MINIMAL.replace("kind: state", f"kind: {kind}\n{kind}: {blocks[kind]}"))

    assert found == {"kind": f"{kind} is valid, and not available yet; state"}


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ("right.sampled={adapter: circle, every: 1m}", "right.sampled"),
    ],
)
def test_what_cannot_run_yet_is_refused_clearly(tmp_path: Path, override: str, path: str) -> None:
    assert "not available yet" in problems(tmp_path, MINIMAL, override)[path]


def test_a_key_may_not_stand_twice(tmp_path: Path) -> None:
    assert "stands twice" in problems(tmp_path, MINIMAL + "version: 4\n")[""]


def test_a_lenient_environment_lets_the_contract_be_any() -> None:
    rule = load_rules([CREDIT], {}, lenient_environment=True)[0]

    assert rule.right.contract is None


def test_an_override_reaches_every_path(tmp_path: Path) -> None:
    rule = loaded(
        tmp_path, MINIMAL, "fields.total.severity=high", "left.out_of_scope=absent", "left.scope={gone: null}"
    )

    assert rule.rule.fields[0].severities == ((-1, Severity.HIGH),)
    assert rule.left.read({"gone": 1, "total": "1"}) == ABSENT
    assert loaded(tmp_path, MINIMAL, "left.scope={gone: null}").left.read({"gone": 1, "total": "1"}) == OUT


def test_the_digest_follows_what_the_rule_says_and_not_how(tmp_path: Path) -> None:
    same = MINIMAL.replace("version: 3", "description: words\nversion:   3")

    assert loaded(tmp_path, MINIMAL).digest == loaded(tmp_path, same).digest
    assert loaded(tmp_path, MINIMAL).digest != loaded(tmp_path, MINIMAL, "window.lag=31s").digest
    assert loaded(tmp_path, MINIMAL).digest == loaded(tmp_path, MINIMAL, "sweep.every=2h").digest

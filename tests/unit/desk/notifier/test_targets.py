"""The file of targets: every problem at once, and never a secret in any of them."""

from __future__ import annotations

from pathlib import Path

import pytest

import schemas
from app.circuit import Endurance
from app.desk.notifier.patience import Retry
from app.desk.notifier.targets import Apprise, Target, Webhook, load_targets, why_refused
from app.errors import Fatal
from app.notices import Grouping, Kind, Severity

EXAMPLE = Path(__file__).parents[4] / "connectors" / "http" / "webhooks.example.yaml"
RULES = ["credit-line", "escrow-funded"]
ENVIRONMENT = {
    "ON_CALL_URL": "https://hooks.example.org/T0/very-secret-part",
    "ON_CALL_SECRET": "0123456789abcdef",
    "AUDIT_SECRET": "fedcba9876543210",
    "AUDIT_TOKEN": "a-token",
    "SHORT": "short",
    "WITH_NEWLINE": "hunter2\nhunter2",
}


def loaded(folder: Path, content: str) -> tuple[Target, ...]:
    file = folder / "webhooks.yaml"
    file.write_text(content, encoding="utf-8")
    return load_targets(file, ENVIRONMENT, RULES)


def refused(folder: Path, content: str) -> str:
    with pytest.raises(Fatal) as found:
        loaded(folder, content)
    assert not any(
        secret in str(found.value) for secret in ("hunter2", "very-secret", "0123456789", "a-token")
    )
    return str(found.value).replace(str(folder), "")


def test_the_example_that_ships_is_right() -> None:
    on_call, audit = load_targets(EXAMPLE, ENVIRONMENT, RULES)
    assert (on_call.severity, on_call.transitions) == (
        Severity.HIGH,
        frozenset({Kind.OPENED, Kind.REOPENED, Kind.RESOLVED}),
    )
    assert (audit.group, audit.is_grouping) == (Grouping(0, 10, 10), False)
    assert (audit.retry, audit.endurance) == (Retry(20, 1.0, 600.0), Endurance(5, 5.0, 300.0))
    assert isinstance(audit.endpoint, Webhook)
    assert audit.endpoint.timeout_s == 5.0
    assert audit.endpoint.headers["Authorization"].get_secret_value() == "Bearer a-token"
    assert "a-token" not in repr(audit)
    assert "very-secret-part" not in repr(on_call)


def test_what_is_not_said_has_a_usual_value(tmp_path: Path) -> None:
    (found,) = loaded(tmp_path, "targets: [{name: a, url: '${ON_CALL_URL}', secret: '${ON_CALL_SECRET}'}]")
    assert found == Target("a", found.endpoint)
    assert (found.retry, found.group) == (Retry(12, 1.0, 300.0), Grouping(5.0, 10, 10))


def test_a_target_may_be_a_service_that_apprise_knows(tmp_path: Path) -> None:
    (found,) = loaded(tmp_path, "targets: [{name: a, apprise: '${ON_CALL_URL}'}]")
    assert isinstance(found.endpoint, Apprise)


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    said = refused(
        tmp_path,
        """
targets:
  - {name: a, url: "http://example.org/x", secret: "${SHORT}", rules: [credit-lime], severity: urgent}
  - {name: b, url: "http://example.org/x", secret: "${SHORT}", rules: [credit-lime]}
  - {name: c, url: "https://example.org/x", secret: "${ON_CALL_SECRET}", tineout: 1s}
  - {name: b, apprise: "${ON_CALL_URL}", secret: "${NOWHERE}"}
  - {name: d}
  - {name: e, url: "https://example.org/x", secret: 0123456789abcdef-written}
""",
    )
    for problem in (
        "targets.0.severity: 'urgent' is not allowed; allowed: low, medium, high or critical",
        "targets.1.url: would be sent in clear",
        "targets.1.secret: is missing or short",
        "targets.1.rules.0: 'credit-lime' is no rule; allowed: credit-line? (credit-line, escrow-funded)",
        "targets.2.tineout: is not known here; allowed: timeout?",
        "targets.3.secret: NOWHERE is not set",
        "targets.3.name: 'b' stands twice",
        "targets.4: needs one of `url` and `apprise`",
        "targets.5.secret: stands in the file",
    ):
        assert problem in said


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("headers: {X-Key: '${WITH_NEWLINE}'}", "targets.0.headers.X-Key: is not allowed"),
        ("headers: {X-Key: 5}", "targets.0.headers.X-Key: is not allowed"),
        ("headers: {'X Key': x}", "'X Key' is no field name"),
        ("headers: {X-Driftwatch-Signature: x}", "is set by driftwatch"),
        ("apprise: 'slack://x'", "needs one of"),
        (
            "retry: {attempts: 0}",
            "targets.0.retry.attempts: 0 is not allowed; allowed: a whole number from 1",
        ),
        ("group: {window: 5}", "targets.0.group.window: 5 is not allowed; allowed: a duration"),
        ("transitions: [closed]", "opened, updated, resolved or reopened"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(tmp_path: Path, target: str, problem: str) -> None:
    usual = "name: a, url: 'https://example.org/x', secret: '${ON_CALL_SECRET}'"
    assert problem in refused(tmp_path, f"targets: [{{{usual}, {target}}}]")


@pytest.mark.parametrize(
    "content", ["", "targets:", "targets: []", "- name: a", "targets: {a: b}", "targets: [a]"]
)
def test_a_file_without_targets_is_refused(tmp_path: Path, content: str) -> None:
    assert "problem(s)" in refused(tmp_path, content)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://example.org/x", None),
        ("http://127.0.0.1:8080/x", None),
        ("http://[::1]/x", None),
        ("http://localhost/x", None),
        ("http://localhost.example.org/x", "would be sent in clear"),
        ("http://10.0.0.1/x", "would be sent in clear"),
        ("http://127.0.0.1@example.org/x", "would be sent in clear"),
        ("ftp://example.org/x", "is no http(s) address"),
        ("https:///x", "is no http(s) address"),
        ("https://example.org/a b", "is no http(s) address"),
        ("https://example.org:port/", "is no address"),
        ("https://[::1/", "is no address"),
    ],
)
def test_an_address_is_https_or_this_machine(url: str, reason: str | None) -> None:
    assert why_refused(url, allow_http=False) == reason


def test_http_elsewhere_may_be_allowed() -> None:
    assert why_refused("http://10.0.0.1/x", allow_http=True) is None


def test_the_schema_says_the_same_of_rules_severities_and_words() -> None:
    stated = schemas.document("webhooks.v1")["$defs"]
    assert stated["severity"]["enum"] == [each.value for each in Severity]

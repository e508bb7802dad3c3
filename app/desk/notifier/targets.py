"""Whom to tell: the targets of a file, checked whole, every problem named at once."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from pydantic import SecretStr

from app.circuit import Endurance
from app.desk.notifier.patience import Retry
from app.desk.notifier.signing import RESERVED
from app.detector.model import SECOND
from app.errors import Fatal
from app.notices import TRANSITIONS, Grouping, Kind, Severity
from app.rules.document import Document, Problem, fill_in, read_document
from app.rules.fields import duration_us
from app.rules.validation import validate_form

SCHEMA: Final = "webhooks.v1"
_WEBHOOK_ONLY: Final = ("secret", "headers", "timeout", "allow_http")
_SECRETS: Final = frozenset({"url", "secret", "apprise", "headers"})
_SHORTEST_SECRET: Final = 16
_SECRET: Final = f"${{VARIABLE}} with at least {_SHORTEST_SECRET} characters"


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that takes signed JSON; `headers` may hold secrets too."""

    url: SecretStr
    secret: SecretStr
    headers: Mapping[str, SecretStr] = field(default_factory=dict)
    timeout_s: float = 8.0


@dataclass(frozen=True, slots=True)
class Apprise:
    """A service that the apprise library knows, by its address there."""

    url: SecretStr


Endpoint: TypeAlias = Webhook | Apprise


@dataclass(frozen=True, slots=True)
class Target:
    """Somebody to be told: where, and what of it all. `rules` None: of every rule."""

    name: str
    endpoint: Endpoint
    rules: frozenset[str] | None = None
    severity: Severity = Severity.LOW
    transitions: frozenset[Kind] = TRANSITIONS
    group: Grouping = field(default_factory=Grouping)
    retry: Retry = field(default_factory=Retry)
    endurance: Endurance = field(default_factory=lambda: Endurance(failures=5))

    @property
    def is_grouping(self) -> bool:
        return self.group.window_s > 0

    def takes(self, rule: str) -> bool:
        """Is it told of this rule at all?"""
        return self.rules is None or rule in self.rules


def load_targets(path: Path, environ: Mapping[str, str], rules: Collection[str]) -> tuple[Target, ...]:
    """The targets in the order of the file; raises `Fatal` with all problems, one a line. `rules`: the ids
    that there are."""
    document = read_document(path, "a list `targets:`")
    if document.content is not None:
        _refuse_written_secrets(document)
        fill_in(document, environ, lenient=False)
        validate_form(document, SCHEMA)
        document.problems[:] = [_without_secret(problem) for problem in document.problems]
    listed = (document.content or {}).get("targets")
    stated = listed if isinstance(listed, list) else []
    found = [_build(document, index, each, rules) for index, each in enumerate(stated)]
    _refuse_twins(document, stated)
    if document.problems:
        lines = "\n  ".join(str(problem) for problem in document.problems)
        raise Fatal("loading", "webhook targets", f"{len(document.problems)} problem(s)\n  {lines}")
    return tuple(target for target in found if target is not None)


def why_refused(url: str, *, allow_http: bool) -> str | None:
    """None for an address that may be called: https, http to this machine, http to any where that is allowed.
    The reason never holds the address."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is no address"
    if parts.scheme not in ("https", "http") or not host or any(sign.isspace() for sign in url):
        return "is no http(s) address"
    if parts.scheme == "http" and not allow_http and not _is_this_machine(host):
        return "would be sent in clear"
    return None


def _refuse_written_secrets(document: Document) -> None:
    stated = (document.content or {}).get("targets")
    for index, each in enumerate(stated if isinstance(stated, list) else ()):
        secret = each.get("secret") if isinstance(each, dict) else None
        if isinstance(secret, str) and "${" not in secret:
            document.report(f"targets.{index}.secret", "stands in the file", _SECRET)


def _without_secret(problem: Problem) -> Problem:
    """What a schema says of a wrong value repeats it, and these hold secrets."""
    place = problem.path.split(".")
    is_quoted = problem.what.endswith("is not allowed") and any(name in place for name in _SECRETS)
    return replace(problem, what="is not allowed") if is_quoted else problem


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _build(document: Document, index: int, stated: Any, rules: Collection[str]) -> Target | None:
    path = f"targets.{index}"
    if not document.is_sound(path):
        return None
    _check_endpoint(document, path, stated)
    for position, rule in enumerate(stated.get("rules", ())):
        if rule not in rules:
            near = difflib.get_close_matches(rule, list(rules), n=1)
            named = ", ".join(sorted(rules))
            document.report(
                f"{path}.rules.{position}", f"{rule!r} is no rule", f"{near[0]}? ({named})" if near else named
            )
    return _target(stated) if document.is_sound(path) else None


def _check_endpoint(document: Document, path: str, stated: Mapping[str, Any]) -> None:
    if ("url" in stated) == ("apprise" in stated):
        document.report(path, "needs one of `url` and `apprise`", "url: https://… or apprise: slack://…")
    elif "apprise" in stated:
        for name in _WEBHOOK_ONLY:
            if name in stated:
                document.report(f"{path}.{name}", "is for a `url` only")
    else:
        reason = why_refused(stated["url"], allow_http=stated.get("allow_http", False))
        if reason is not None:
            document.report(
                f"{path}.url", reason, "https://…, http to this machine, or http with `allow_http: true`"
            )
        if len(stated.get("secret", "")) < _SHORTEST_SECRET:
            document.report(f"{path}.secret", "is missing or short", _SECRET)
        for name in stated.get("headers", {}):
            if name.lower() in RESERVED:
                document.report(f"{path}.headers.{name}", "is set by driftwatch", "another header")


def _refuse_twins(document: Document, stated: Sequence[Any]) -> None:
    names = [each.get("name") for each in stated if isinstance(each, dict)]
    for index, name in enumerate(names):
        if name in names[:index]:
            document.report(f"targets.{index}.name", f"{name!r} stands twice", "a name of its own")


def _target(stated: Mapping[str, Any]) -> Target:
    group, retry, rest = stated.get("group", {}), stated.get("retry", {}), stated.get("breaker", {})
    usual = Target("", Apprise(SecretStr("")))
    return Target(
        name=stated["name"],
        endpoint=_endpoint(stated),
        rules=frozenset(stated["rules"]) if "rules" in stated else None,
        severity=Severity(stated.get("severity", usual.severity)),
        transitions=frozenset(map(Kind, stated.get("transitions", TRANSITIONS))),
        group=Grouping(
            _seconds(group, "window", usual.group.window_s),
            group.get("over", usual.group.over),
            group.get("list", usual.group.listed),
        ),
        retry=Retry(
            retry.get("attempts", usual.retry.attempts),
            _seconds(retry, "first", usual.retry.first_s),
            _seconds(retry, "most", usual.retry.most_s),
        ),
        endurance=Endurance(
            rest.get("failures", usual.endurance.failures),
            _seconds(rest, "rest", usual.endurance.rest_s),
            _seconds(rest, "most", usual.endurance.rest_max_s),
        ),
    )


def _endpoint(stated: Mapping[str, Any]) -> Endpoint:
    if "apprise" in stated:
        return Apprise(SecretStr(stated["apprise"]))
    headers = {name: SecretStr(value) for name, value in stated.get("headers", {}).items()}
    timeout_s = _seconds(stated, "timeout", 8.0)
    return Webhook(SecretStr(stated["url"]), SecretStr(stated["secret"]), headers, timeout_s)


def _seconds(stated: Mapping[str, Any], name: str, usual: float) -> float:
    return duration_us(stated[name]) / SECOND if name in stated else usual

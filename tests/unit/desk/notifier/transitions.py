"""Transitions for the tests of the notifier, by a few words."""

from __future__ import annotations

from pydantic import SecretStr

from app.desk.notifier.targets import Target, Webhook
from app.detector.model import SECOND
from app.notices import Kind, Severity, Transition
from tests.support.webhooks import BASE_US, RULE, mismatch

ENDPOINT = Webhook(SecretStr("https://example.org/hook"), SecretStr("a secret of the tests"))


def at(
    second: int, kind: str, sequence: int = 0, *, key: str = "K", severity: str = "critical"
) -> Transition:
    """A transition of the key's only episode; its id follows from key and sequence."""
    event = mismatch(key, sequence, kind, severity=severity, at_s=second)
    return Transition(
        id=event["id"],
        kind=Kind(kind),
        rule=RULE,
        key=key,
        episode=event["data"]["episode"],
        severity=Severity(severity),
        at_us=BASE_US + second * SECOND,
        event=event,
    )


def target(name: str = "t", **more: object) -> Target:
    """A target that wants everything but what is said."""
    return Target(name, ENDPOINT, **more)  # type: ignore[arg-type]

"""What an answer means, and how long to wait before the next attempt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.notices import Answer, Outcome, Queued, Settled

Uniform = Callable[[float, float], float]
"""A number between two, any of them as likely."""

_LATER: Final = frozenset({408, 425, 429})
_LONGEST_NAMED_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Retry:
    """`attempts` in all; the pause before the second is up to `first_s` long and doubles, up to `most_s`."""

    attempts: int = 12
    first_s: float = 1.0
    most_s: float = 300.0


def pause_s(attempts: int, retry: Retry, uniform: Uniform) -> float:
    """Exponential back-off with full jitter, after so many attempts (from 1)."""
    return uniform(0.0, min(retry.most_s, retry.first_s * 2.0 ** min(attempts - 1, 30)))


def is_delivered(answer: Answer) -> bool:
    return answer.status is not None and 200 <= answer.status < 300


def is_final(answer: Answer) -> bool:
    """Would the same request be refused again? A redirect is: nobody follows it."""
    return answer.status is not None and 300 <= answer.status < 500 and answer.status not in _LATER


def settle(queued: Queued, answer: Answer, retry: Retry, uniform: Uniform) -> Settled:
    """What becomes of a notice. A time that the target names is waited for, an hour at most."""
    if is_delivered(answer):
        return Settled(queued.id, Outcome.DELIVERED)
    tried = queued.attempts + 1
    error = describe(answer)
    if is_final(answer) or tried >= retry.attempts:
        return Settled(
            queued.id, Outcome.DEAD, error=f"{error}, after {tried} attempts" if tried > 1 else error
        )
    named = min(answer.retry_after_s or 0.0, _LONGEST_NAMED_S)
    return Settled(queued.id, Outcome.RETRY, max(named, pause_s(tried, retry, uniform)), error)


def describe(answer: Answer) -> str:
    """An answer in a few words, without anything secret."""
    if answer.status is None:
        return answer.cause or "no answer"
    redirected = " (redirects are not followed)" if 300 <= answer.status < 400 else ""
    return f"HTTP {answer.status}{redirected}"

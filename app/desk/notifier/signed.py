"""The channel of a webhook: signs each attempt, and hands it to whatever speaks HTTP."""

from __future__ import annotations

from pydantic import SecretStr

from app.clock import Clock
from app.desk.notifier.ports import Poster
from app.desk.notifier.signing import signed_post
from app.detector.model import SECOND
from app.notices import Answer, Message


class SignedChannel:
    """Every attempt has the same body and `Idempotency-Key`, and a signature with its own time."""

    def __init__(self, secret: SecretStr, poster: Poster, clock: Clock) -> None:
        self._secret, self._poster, self._clock = secret, poster, clock

    async def send(self, message: Message) -> Answer:
        """Raises nothing."""
        return await self._poster.post(signed_post(message, self._secret, self._clock.now_us() // SECOND))

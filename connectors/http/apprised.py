"""Tells services that the apprise library knows: mail, Slack, PagerDuty and others. An optional extra."""

from __future__ import annotations

import asyncio
import importlib
import logging
from typing import Any, Final

from pydantic import SecretStr

from app.errors import Fatal
from app.notices import Answer, Message

_WITHIN_S: Final = 30.0


class AppriseChannel:
    """One service. The library blocks and keeps its secrets in what it logs, so it runs in a thread and its
    log is silent. It knows no idempotency key: what is told again is told twice.

    Raises `Fatal` where the library is not installed or does not know the address.
    """

    def __init__(self, target: str, url: SecretStr) -> None:
        self._service = self._find(target, url)

    @staticmethod
    def _find(target: str, url: SecretStr) -> Any:
        try:
            apprise = importlib.import_module("apprise")
        except ImportError as error:
            raise Fatal(
                "opening the webhook target",
                target,
                "it needs the apprise library, which is not installed",
                "pip install driftwatch[apprise]",
            ) from error
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        service = apprise.Apprise()
        if not service.add(url.get_secret_value()):
            hint = "the apprise library's documentation lists the forms"
            raise Fatal("opening the webhook target", target, "apprise does not know this address", hint)
        return service

    async def send(self, message: Message) -> Answer:
        """Raises nothing. Past thirty seconds it counts as not sent, and may arrive all the same."""
        try:
            async with asyncio.timeout(_WITHIN_S):
                is_sent = await asyncio.to_thread(
                    self._service.notify, title=message.title, body=message.text
                )
        except TimeoutError:
            return Answer(None, f"no answer within {_WITHIN_S:g} s")
        except Exception as error:  # noqa: BLE001 - plug-ins raise what they like, and say secrets in it
            return Answer(None, type(error).__name__)
        return Answer(200) if is_sent else Answer(None, "the service did not take it")

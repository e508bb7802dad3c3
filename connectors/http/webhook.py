"""Posts a webhook: one address, one attempt, no redirects, nothing of the address in any word about it."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import aiohttp
from pydantic import SecretStr

from app.clock import Clock
from app.detector.model import SECOND
from app.notices import Answer, Post


class WebhookPoster:
    """One target's connections. `headers` go with every request and may replace the usual ones."""

    def __init__(
        self, url: SecretStr, headers: Mapping[str, SecretStr], timeout_s: float, clock: Clock
    ) -> None:
        self._url, self._headers, self._timeout_s, self._clock = url, dict(headers), timeout_s, clock
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections; it may be used again afterwards."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, post: Post) -> Answer:
        """One request; every failure is an answer without a status. The body of the answer is not read."""
        own = {name: value.get_secret_value() for name, value in self._headers.items()}
        replaced = {name.lower() for name in own}
        headers = {name: value for name, value in post.headers.items() if name.lower() not in replaced} | own
        try:
            async with self._open().post(
                self._url.get_secret_value(), data=post.body, headers=headers, allow_redirects=False
            ) as response:
                return Answer(response.status, retry_after_s=self._retry_after(response))
        except TimeoutError:
            return Answer(None, f"no answer within {self._timeout_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(None, _cause(error))

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session

    def _retry_after(self, response: aiohttp.ClientResponse) -> float | None:
        """`Retry-After` as seconds or as a date; None where it says neither."""
        named = response.headers.get("Retry-After", "").strip()
        if named.isascii() and named.isdigit() and len(named) < 10:
            return float(named)
        try:
            at = parsedate_to_datetime(named)
            return max(0.0, at.timestamp() - self._clock.now_us() / SECOND)
        except (ValueError, TypeError, OverflowError):
            return None


def _cause(error: Exception) -> str:
    """What went wrong, by its kind and the system's word for it: texts of aiohttp may quote the address."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "the certificate is not trusted"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return "no TLS with it"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the name is not known"
    number = getattr(error, "errno", None)
    if isinstance(error, aiohttp.ClientConnectorError | OSError) and number:
        return f"no connection: {os.strerror(number)}"
    return type(error).__name__

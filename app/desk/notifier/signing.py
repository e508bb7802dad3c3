"""The signature of a delivery: whoever has the secret can tell that the body is ours, and of now."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from pydantic import SecretStr

from app.notices import Message, Post

SIGNATURE: Final = "X-Driftwatch-Signature"
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
RESERVED: Final = frozenset(
    name.lower() for name in (SIGNATURE, IDEMPOTENCY_KEY, "Host", "Content-Length", "Transfer-Encoding")
)
"""Headers that a target's own can not replace."""


def sign(secret: SecretStr, at_s: int, body: bytes) -> str:
    """`t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`."""
    signed = f"{at_s}.".encode() + body
    digest = hmac.new(secret.get_secret_value().encode(), signed, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"


def signed_post(message: Message, secret: SecretStr, at_s: int) -> Post:
    """The request of one attempt: body and key as at every attempt, the signature of this one."""
    body = message.payload.encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "driftwatch",
        SIGNATURE: sign(secret, at_s, body),
        IDEMPOTENCY_KEY: message.id,
    }
    return Post(body, headers)

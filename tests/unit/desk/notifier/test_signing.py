"""The signature of a delivery."""

from __future__ import annotations

import hashlib
import hmac

from pydantic import SecretStr

from app.desk.notifier.signing import sign, signed_post
from app.notices import Message

SECRET = SecretStr("one that nobody knows")
MESSAGE = Message("0123", '{"a":"ä"}', "", "")


def test_it_covers_the_time_and_the_body() -> None:
    wanted = hmac.new(b"one that nobody knows", b'1700000000.{"a":1}', hashlib.sha256).hexdigest()
    assert sign(SECRET, 1_700_000_000, b'{"a":1}') == f"t=1700000000,v1={wanted}"


def test_another_attempt_is_the_same_request_with_a_signature_of_its_own_time() -> None:
    first, second = signed_post(MESSAGE, SECRET, 1), signed_post(MESSAGE, SECRET, 2)
    assert first.body == second.body == '{"a":"ä"}'.encode()
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"] == "0123"
    assert first.headers["X-Driftwatch-Signature"] != second.headers["X-Driftwatch-Signature"]

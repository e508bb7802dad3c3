"""API keys: how one is made, what is kept of it, and how a request proves that it has one."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.api.ports import Keys
from app.cases import KeyRecord, Role, Scope, to_time

BOOTSTRAP: Final = "environment"
"""The name of the key of `DRIFTWATCH_API_KEY` in logs and in the audit log."""

_FORM: Final = re.compile(r"dw_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")
_NOBODY: Final = hashlib.sha256(b"nobody has this key").digest()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the key's id and name, and what it may do."""

    id: str
    name: str
    role: Role
    scope: Scope


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key as it is shown once, and what is kept of it."""

    text: str
    record: KeyRecord


def make_key(
    name: str, role: Role, scope: Scope, created_at: datetime, expires_at: datetime | None = None
) -> NewKey:
    """A new key of 256 random bits; the part before them only finds its record."""
    key_id = secrets.token_hex(8)
    text = f"dw_{key_id}_{secrets.token_urlsafe(32)}"
    return NewKey(text, KeyRecord(key_id, name, hash_key(text), role, scope, created_at, expires_at))


def hash_key(text: str) -> bytes:
    """What is kept. Keys are random: a slow hash would add nothing."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


class Doorkeeper:
    """Tells who a key belongs to. Hashes are compared in constant time, for a key that nobody has as well."""

    def __init__(self, keys: Keys, bootstrap: str = "") -> None:
        self._keys = keys
        self._bootstrap = hash_key(bootstrap) if bootstrap else None

    async def admit(self, text: str | None, now_us: int) -> Caller | str:
        """The caller, or why it is refused: `missing`, `malformed`, `unknown`, `expired`, `revoked`. Raises
        `Transient` while the keys cannot be read."""
        if not text:
            return "missing"
        given = hash_key(text)
        if self._bootstrap is not None and hmac.compare_digest(given, self._bootstrap):
            return Caller(BOOTSTRAP, BOOTSTRAP, Role.OPERATOR, Scope())
        match = _FORM.fullmatch(text)
        if match is None:
            return "malformed"
        record = await self._keys.find_key(match[1])
        if not hmac.compare_digest(given, _NOBODY if record is None else record.hash) or record is None:
            return "unknown"
        refused = record.why_refused(to_time(now_us))
        return refused or Caller(record.id, record.name, record.role, record.scope)

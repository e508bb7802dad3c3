"""Prepared parts of XDR, and a contract's entries made of them: what the demo's ledgers hold.

Written by concatenation: stellar_sdk's objects take milliseconds where this takes microseconds.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from stellar_sdk import StrKey

_ADDRESS, _INSTANCE, _INSTANCE_KEY = (number.to_bytes(4, "big") for number in (18, 19, 20))
_ACCOUNT: Final = bytes(8)
_CONTRACT: Final = b"\x00\x00\x00\x01"
_PRESENT: Final = b"\x00\x00\x00\x01"
_PERSISTENT: Final = b"\x00\x00\x00\x01"
_CONTRACT_DATA: Final = b"\x00\x00\x00\x06"
_NO_EXTENSION: Final = bytes(4)
VOID: Final = b"\x00\x00\x00\x01"


def text(raw: bytes) -> str:
    """XDR as a node serves it."""
    return base64.b64encode(raw).decode()


# ---- ScVals


def u32(number: int) -> bytes:
    return b"\x00\x00\x00\x03" + number.to_bytes(4, "big")


def u64(number: int) -> bytes:
    return b"\x00\x00\x00\x05" + number.to_bytes(8, "big")


def i64(number: int) -> bytes:
    return b"\x00\x00\x00\x06" + number.to_bytes(8, "big", signed=True)


def i128(number: int) -> bytes:
    return b"\x00\x00\x00\x0a" + number.to_bytes(16, "big", signed=True)


def symbol(name: str) -> bytes:
    raw = name.encode()
    return b"\x00\x00\x00\x0f" + len(raw).to_bytes(4, "big") + raw + bytes(-len(raw) % 4)


def vec(*items: bytes) -> bytes:
    return b"\x00\x00\x00\x10" + _PRESENT + len(items).to_bytes(4, "big") + b"".join(items)


@lru_cache(maxsize=1 << 16)
def address(strkey: str) -> bytes:
    """The ScVal of an account or a contract; raises ValueError for anything else."""
    return _ADDRESS + sc_address(strkey)


def sc_address(strkey: str) -> bytes:
    """`ScAddress` of an account or a contract."""
    if strkey.startswith("C"):
        return _CONTRACT + StrKey.decode_contract(strkey)
    return _ACCOUNT + StrKey.decode_ed25519_public_key(strkey)


class Struct:
    """A contract's struct: a map of its fields, whose names stand in the order of the alphabet."""

    def __init__(self, *names: str) -> None:
        self._head = b"\x00\x00\x00\x11" + _PRESENT + len(names).to_bytes(4, "big")
        self._keys = tuple(symbol(name) for name in names)

    def pack(self, *values: bytes) -> bytes:
        """The map with these values, in the order of the names."""
        parts = [self._head]
        for pair in zip(self._keys, values, strict=True):
            parts += pair
        return b"".join(parts)


# ---- entries


class Entries:
    """Keys and data of one contract's entries, base64. `code` names what the contract runs."""

    def __init__(self, contract: str, code: str) -> None:
        self._contract = sc_address(contract)
        self._wasm = bytes(4) + hashlib.sha256(code.encode()).digest()

    def persistent(self, key: bytes, value: bytes) -> tuple[str, str]:
        """(ledger key, ledger entry) of persistent data."""
        placed = self._contract + key + _PERSISTENT
        return text(_CONTRACT_DATA + placed), text(_CONTRACT_DATA + _NO_EXTENSION + placed + value)

    def instance(self, storage: Sequence[tuple[bytes, bytes]]) -> tuple[str, str]:
        """The instance entry with its storage, in the order of the keys."""
        stored = _PRESENT + len(storage).to_bytes(4, "big") + b"".join(key + value for key, value in storage)
        return self.persistent(_INSTANCE_KEY, _INSTANCE + self._wasm + stored)

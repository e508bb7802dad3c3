"""XDR texts of a request, taken as the real server's decoder does: standard base64, read to its end."""

from __future__ import annotations

import base64
import re
from typing import Final

from stellar_sdk import xdr
from xdrlib3 import Error as XdrError
from xdrlib3 import Unpacker

from app.demo.rpc.faults import Undecodable

_GROUPS: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", re.ASCII)
_ALPHABET: Final = re.compile(r"[A-Za-z0-9+/]", re.ASCII)
_MALFORMED: Final = (ValueError, EOFError, XdrError, TypeError, OverflowError, RecursionError)


def unpack_base64(text: str) -> bytes | None:
    """Padded base64 of the standard alphabet; loose bits before the padding and line breaks are accepted, as
    in Go. None for anything else."""
    joined = text.replace("\n", "").replace("\r", "")
    return base64.b64decode(joined) if _GROUPS.fullmatch(joined) else None


def canonical_scval(text: str) -> str:
    """The canonical base64 of a base64 ScVal; raises `Undecodable`."""
    raw = unpack_base64(text)
    if raw is None or len(raw) < 4:
        raise Undecodable(_first_fault(text))
    try:
        unpacker = Unpacker(raw)
        read = xdr.SCVal.unpack(unpacker).to_xdr_bytes()
    except _MALFORMED as error:
        raise Undecodable(f"decoding ScVal: {str(error) or type(error).__name__}") from error
    if unpacker.get_position() != len(raw):
        took = (unpacker.get_position() + 2) // 3 * 4
        raise Undecodable(f"input not fully consumed. expected to read: {len(text)}, actual: {took}")
    return base64.b64encode(read).decode()


def ledger_key(text: str) -> tuple[str, bool] | None:
    """(canonical base64, whether it is a TTL entry's) of a base64 ledger key; None for what is none."""
    raw = unpack_base64(text)
    if raw is None:
        return None
    try:
        key = xdr.LedgerKey.from_xdr_bytes(raw)
        if key.to_xdr_bytes() != raw:
            return None
    except _MALFORMED:
        return None
    return base64.b64encode(raw).decode(), key.type == xdr.LedgerEntryType.TTL


def _first_fault(text: str) -> str:
    """What Go's decoder says when it cannot read the four bytes of the value's kind. It reads base64 in
    groups and names a bad character by its place in its group."""
    got = b""
    cause = "EOF"
    for start in range(0, len(text), 4):
        group = text[start : start + 4]
        bad = next((at for at, each in enumerate(group) if _ALPHABET.match(each) is None), len(group))
        if len(got) >= 4:
            break
        if bad < 4:
            cause = f"illegal base64 data at input byte {bad}" if bad < len(group) else "unexpected EOF"
            break
        got += base64.b64decode(group)
        cause = "unexpected EOF"
    read = " ".join(str(each) for each in got[:4])
    return (
        "decoding ScValType: decoding ScValType: xdr:DecodeInt: "
        f"{cause} while decoding 4 bytes - read: '[{read}]'"
    )

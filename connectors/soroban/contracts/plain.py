"""What decoders of entries share: a field without its type, an enum by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.soroban.scval import Decoded


def plain(value: Decoded) -> Any:
    """What a field says without its type: numbers, texts and addresses as they are, the rest typed."""
    ((tag, held),) = value.items()
    return held if tag not in ("vec", "map", "error", "contract_instance", "xdr") else value


def name_of(number: Any, names: Sequence[str]) -> str:
    """The name of an integer enum's value; `unknown:<value>` for one that has none."""
    known = isinstance(number, int) and not isinstance(number, bool) and 0 <= number < len(names)
    return names[number] if known else f"unknown:{number}"

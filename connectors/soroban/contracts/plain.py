"""What decoders of entries share: a field without its type, an enum by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.errors import Poison
from connectors.soroban.scval import Decoded


class RefusedKey(Poison):
    """A key of which the contract can hold nothing, and which a person must know of: it is absent, and an
    error of its own."""


def plain(value: Decoded) -> Any:
    """What a field says without its type: numbers, texts and addresses as they are, the rest typed."""
    ((tag, held),) = value.items()
    return held if tag not in ("vec", "map", "error", "contract_instance", "xdr") else value


def fields_of(value: Decoded) -> dict[str, Any]:
    """A struct, which is a map of symbols, by field name, each without its type; empty for what is none."""
    pairs = value.get("map")
    if not isinstance(pairs, list):
        return {}
    return {pair["key"]["symbol"]: plain(pair["val"]) for pair in pairs if "symbol" in pair["key"]}


def named_in(topics: Sequence[Decoded], data: Decoded, tag: str) -> tuple[str, ...]:
    """Every value of one type that an event mentions behind its first topic: among the other topics, as the
    payload, in its map or in its tuple. Of addresses those of accounts and contracts."""
    inside = [*(data.get("vec") or ()), *(pair["val"] for pair in data.get("map") or ())]
    found = [str(part[tag]) for part in (*topics[1:], data, *inside) if tag in part]
    return tuple(key for key in dict.fromkeys(found) if tag != "address" or key[0] in "GC")


def symbol_of(topics: Sequence[Decoded], place: int) -> str | None:
    """The symbol at a place among the topics; None where there is none."""
    found = topics[place].get("symbol") if place < len(topics) else None
    return found if isinstance(found, str) else None


def name_of(number: Any, names: Sequence[str]) -> str:
    """The name of an integer enum's value; `unknown:<value>` for one that has none."""
    known = isinstance(number, int) and not isinstance(number, bool) and 0 <= number < len(names)
    return names[number] if known else f"unknown:{number}"

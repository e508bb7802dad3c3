"""What a ledger says of entries that it changed: what each was before, out of its `LedgerCloseMeta`."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from stellar_sdk import xdr

from app.errors import Poison
from connectors.soroban import scval

_Kind = xdr.LedgerEntryChangeType
_KEY_KIND: Final = 4


class Before(NamedTuple):
    """An entry before a ledger changed it: base64 `LedgerEntryData`, None where there was none.
    `modified_ledger` -1: not known."""

    entry_xdr: str | None
    modified_ledger: int


def find_before(metadata_xdr: str, ledger_keys: Collection[str]) -> dict[str, Before]:
    """What those of the base64 contract data keys that the ledger changed were before it, by key. Raises
    `Poison` for what is no `LedgerCloseMeta` of this protocol.

    A busy ledger takes seconds to decode: nothing of it is where none of the keys is in it.
    """
    raw = scval.unpack_base64(metadata_xdr, "a ledger's metadata")
    places = {key: scval.unpack_base64(key, "a ledger key") for key in ledger_keys}
    wanted = {place: key for key, place in places.items() if place[_KEY_KIND:] in raw}
    if not wanted:
        return {}
    try:
        return _first(xdr.LedgerCloseMeta.from_xdr_bytes(raw), wanted)
    except (*scval.MALFORMED, RecursionError) as error:
        cause = f"no XDR of this protocol: {str(error) or type(error).__name__}"
        raise Poison("decoding", "a ledger's metadata", cause) from error


def _first(meta: xdr.LedgerCloseMeta, wanted: dict[bytes, str]) -> dict[str, Before]:
    """By the first change of each key: a later one begins from what the ledger itself had made of it."""
    found: dict[str, Before] = {}
    for change in _changes_of(meta):
        entry = change.state or change.created or change.updated or change.restored
        place = None if entry is None else _place(entry)
        if entry is None or place not in wanted or wanted[place] in found:
            continue
        data = base64.b64encode(entry.data.to_xdr_bytes()).decode()
        modified = entry.last_modified_ledger_seq.uint32
        if change.type == _Kind.LEDGER_ENTRY_STATE:
            found[wanted[place]] = Before(data, modified)
        elif change.type == _Kind.LEDGER_ENTRY_CREATED:
            found[wanted[place]] = Before(None, -1)
        elif change.type == _Kind.LEDGER_ENTRY_RESTORED:
            found[wanted[place]] = Before(data, -1)
    return found


def _place(entry: xdr.LedgerEntry) -> bytes | None:
    data = entry.data.contract_data
    if data is None:
        return None
    key = xdr.LedgerKeyContractData(data.contract, data.key, data.durability)
    return xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=key).to_xdr_bytes()


def _changes_of(meta: xdr.LedgerCloseMeta) -> Iterator[xdr.LedgerEntryChange]:
    """In the order in which they were applied: all fees, then transaction by transaction, refunds behind
    them, upgrades last."""
    body = meta.v2 or meta.v1 or meta.v0
    if body is None:
        return
    transactions: Sequence[xdr.TransactionResultMeta | xdr.TransactionResultMetaV1] = body.tx_processing
    for each in transactions:
        yield from each.fee_processing.ledger_entry_changes
    for each in transactions:
        yield from _applied(each.tx_apply_processing)
    for each in transactions:
        if isinstance(each, xdr.TransactionResultMetaV1):
            yield from each.post_tx_apply_fee_processing.ledger_entry_changes
    for upgrade in body.upgrades_processing:
        yield from upgrade.changes.ledger_entry_changes


def _applied(meta: xdr.TransactionMeta) -> Iterator[xdr.LedgerEntryChange]:
    """Only versions 3 and 4 can hold contract data."""
    body = meta.v4 or meta.v3
    if body is None:
        return
    yield from body.tx_changes_before.ledger_entry_changes
    for operation in body.operations:
        yield from operation.changes.ledger_entry_changes
    yield from body.tx_changes_after.ledger_entry_changes

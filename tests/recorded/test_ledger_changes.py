"""What real ledgers say of the contract data that they changed, by the metadata of two protocols."""

from __future__ import annotations

from typing import Any

import pytest
from stellar_sdk import xdr

from app.errors import Poison
from connectors.soroban.changes import find_before
from tests.recorded.recordings import load

FILES = (
    "stellar-docs__Ledgers",
    "java-sdk__soroban_server__get_ledgers",
    "java-sdk__soroban_server__get_latest_ledger",
    "oz-monitor__blocks",
)
NO_KEY = xdr.LedgerKey(
    xdr.LedgerEntryType.CONTRACT_DATA,
    contract_data=xdr.LedgerKeyContractData(
        xdr.SCAddress(
            xdr.SCAddressType.SC_ADDRESS_TYPE_CONTRACT, contract_id=xdr.ContractID(xdr.Hash(bytes(32)))
        ),
        xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE),
        xdr.ContractDataDurability.PERSISTENT,
    ),
).to_xdr()


def metadata(found: Any) -> list[str]:
    if isinstance(found, dict):
        own = [found["metadataXdr"]] if isinstance(found.get("metadataXdr"), str) else []
        return own + [each for value in found.values() for each in metadata(value)]
    return [each for value in found for each in metadata(value)] if isinstance(found, list) else []


def changed(meta: str) -> list[tuple[str, xdr.LedgerEntryChange]]:
    """Contract data of one metadata, looked up by hand."""
    body = xdr.LedgerCloseMeta.from_xdr(meta)
    inner = body.v2 or body.v1
    assert inner is not None
    found = []
    for transaction in inner.tx_processing:
        applied = transaction.tx_apply_processing.v4 or transaction.tx_apply_processing.v3
        assert applied is not None
        for operation in applied.operations:
            for change in operation.changes.ledger_entry_changes:
                entry = change.state or change.created
                if entry is not None and entry.data.contract_data is not None:
                    data = entry.data.contract_data
                    key = xdr.LedgerKeyContractData(data.contract, data.key, data.durability)
                    place = xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=key).to_xdr()
                    found.append((place, change))
    return found


def test_each_entry_is_told_as_it_was_before_the_ledger() -> None:
    seen = 0
    for name in FILES:
        for meta in metadata(load(f"soroban/rpc-responses/{name}.json")):
            first = dict(reversed(changed(meta)))
            before = find_before(meta, {*first, NO_KEY})
            assert before.keys() == first.keys()
            for place, change in first.items():
                if change.state is None:
                    assert before[place].entry_xdr is None
                else:
                    assert before[place].entry_xdr == change.state.data.to_xdr()
                    assert before[place].modified_ledger == change.state.last_modified_ledger_seq.uint32
            seen += len(first)
    assert seen > 0


def test_what_is_no_metadata_is_refused() -> None:
    with pytest.raises(Poison):
        find_before(NO_KEY, [NO_KEY])

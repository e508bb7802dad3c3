"""A simulated network of many escrow contracts, one per invoice, and strangers that write the same topics."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

from stellar_sdk import Keypair, StrKey, scval, xdr

from app.demo.rpc.config import NodeConfig
from app.demo.rpc.control import hash_of
from app.demo.rpc.cursors import position_of
from app.demo.rpc.ledgers import Change, Event, Ledger
from app.demo.rpc.node import Node
from connectors.soroban import keys
from tests.support.chain_world import BEGAN_US, LEDGER_US, PASSPHRASE, LedgerClock
from tests.support.simulator import SECOND_US

_MODEL = StrKey.encode_contract(bytes([0xAB]) * 32)
_ADMIN = Keypair.from_raw_ed25519_seed(bytes(31) + b"\x05").public_key


def invoice_contract(number: int) -> str:
    """The contract of invoice `number`."""
    return StrKey.encode_contract(hashlib.sha256(f"escrow {number}".encode()).digest())


def invoice(number: int) -> str:
    return f"INV_{number:05d}"


def escrow_xdr(contract: str, funded: int, status: int = 0, invoice_id: str = "INV_00001") -> str:
    """The instance entry of an escrow contract, as base64."""
    escrow = scval.to_struct(
        {
            "admin": scval.to_address(_ADMIN),
            "amount": scval.to_int128(1000),
            "funded_amount": scval.to_int128(funded),
            "funding_target": scval.to_int128(1000),
            "invoice_id": scval.to_symbol(invoice_id),
            "maturity": scval.to_uint64(0),
            "status": scval.to_uint32(status),
            "yield_bps": scval.to_int64(800),
        }
    )
    code = xdr.ContractExecutable(
        xdr.ContractExecutableType.CONTRACT_EXECUTABLE_WASM, wasm_hash=xdr.Hash(bytes(32))
    )
    storage = [
        xdr.SCMapEntry(key=keys.variant("Escrow"), val=escrow),
        xdr.SCMapEntry(key=keys.variant("Version"), val=scval.to_uint32(6)),
    ]
    instance = xdr.SCContractInstance(executable=code, storage=xdr.SCMap(storage))
    entry = xdr.ContractDataEntry(
        ext=xdr.ExtensionPoint(0),
        contract=keys.address_value(contract).address,
        key=xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE),
        durability=xdr.ContractDataDurability.PERSISTENT,
        val=xdr.SCVal(xdr.SCValType.SCV_CONTRACT_INSTANCE, instance=instance),
    )
    return xdr.LedgerEntryData(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=entry).to_xdr()


class EscrowWorld:
    """Ledgers are closed by hand; `fund` says what happens in the next one."""

    def __init__(self, **config: object) -> None:
        self.clock = LedgerClock()
        settings = {"passphrase": PASSPHRASE, "max_latency_s": 1e9, **config}
        self.node = Node(NodeConfig(**settings), self.clock)  # type: ignore[arg-type]
        self.ledger = 100
        self.truth: set[str] = set()
        self._model = base64.b64decode(escrow_xdr(_MODEL, 77))
        self._queued: list[tuple[str, str, int | None]] = []
        self._funded = scval.to_symbol("escrow_funded").to_xdr(), scval.to_symbol("funded").to_xdr()

    def fund(self, number: int, amount: int) -> None:
        """An event of the invoice's contract, and its new state."""
        self._queued.append((invoice_contract(number), invoice(number), amount))

    def forge(self, times: int) -> None:
        """Strangers write the same topics."""
        for number in range(times):
            stranger = StrKey.encode_contract(hashlib.sha256(f"stranger {number}".encode()).digest())
            self._queued.append((stranger, invoice(1), None))

    def set_silently(self, numbers: Iterable[int], amount: int) -> None:
        """State without an event, from the next ledger on."""
        self._queued += [(invoice_contract(number), "", amount) for number in numbers]

    def close(self) -> int:
        self.ledger += 1
        self.clock.at_us += LEDGER_US
        events: list[Event] = []
        changes: list[Change] = []
        for order, (contract, name, amount) in enumerate(self._queued, 1):
            if amount is not None:
                changes.append(self._state(contract, amount))
            if name:
                topics = (*self._funded, scval.to_symbol(name).to_xdr())
                at = position_of(self.ledger, order)
                data = scval.to_struct({"amount": scval.to_int128(amount or 0)}).to_xdr()
                events.append(
                    Event(at, "contract", contract, topics, data, hash_of(f"{self.ledger} {order}"))
                )
                if amount is not None:
                    self.truth.add(at.text())
        self._queued.clear()
        closed_s = self.clock.at_us // SECOND_US
        self.node.ledgers.append(Ledger(self.ledger, closed_s, hash_of(str(self.ledger)), events, changes))
        return self.ledger

    def _state(self, contract: str, amount: int) -> Change:
        raw = self._model.replace(StrKey.decode_contract(_MODEL), StrKey.decode_contract(contract))
        raw = raw.replace((77).to_bytes(16, "big"), amount.to_bytes(16, "big"), 1)
        return Change(keys.instance_key(contract), base64.b64encode(raw).decode(), self.ledger + 100_000)

    @property
    def age_us(self) -> int:
        return self.clock.at_us - BEGAN_US

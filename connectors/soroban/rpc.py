"""The client of a Stellar RPC node: JSON-RPC over HTTP, time-outs, size caps, kinds of failure."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
import orjson
from pydantic import SecretStr

from app.clock import Clock
from app.errors import DriftwatchError, Fatal, Transient
from connectors.soroban.answers import (
    Envelope,
    Event,
    Fault,
    Health,
    Ledger,
    LedgerEntries,
    LedgerEntry,
    Ledgers,
    Network,
    OutOfRange,
    Page,
)

T = TypeVar("T")
Observe = Callable[[str, str], None]
"""Called once a request with (method, outcome); outcomes: ok, transient, out_of_range, refused."""

MAX_CONTRACTS: Final = 25
MAX_KEYS: Final = 200
_CONTRACTS_A_FILTER: Final = 5
_RANGE: Final = re.compile(
    r"must be (?:within the ledger range|between the oldest ledger): (\d+)"
    r"(?: - | and the latest ledger: )(\d+)"
)
"""What getEvents says of a ledger that it does not hold, and what getLedgers does."""
_OVER_TIME: Final = -32001
_TRANSIENT_CODES: Final = frozenset({-32098, -32603})
"""The method's queue is full; trouble inside the node (core, store, health)."""
_OUR_FAULT_500: Final = ("[-32700]", "http: request body too large")
_MOST_EVENTS: Final = re.compile(r"^limit must not exceed (\d+)$")
METHOD_NOT_FOUND: Final = -32601

Filters = Sequence[Mapping[str, Any]]
"""The `filters` of getEvents; none at all means every event of the network."""


class Refused(Fatal):
    """The node read the request and refuses it, with this JSON-RPC code; another node may not."""

    def __init__(self, operation: str, subject: str, cause: object, code: int) -> None:
        super().__init__(operation, subject, cause)
        self.code = code


class OverTime(Transient):
    """The node gave up on the request: a smaller range, or fewer filters, may be answered."""


class NodeApi(Protocol):
    """What is asked of a network, by one node or by several of which one answers at a time.

    Calls raise `Transient`, `Fatal` or `OutOfRange` only. Between two failures, and as long as nobody turns
    the node away, the same address answers: a page and the calls that prove it belong to one node.
    """

    @property
    def subject(self) -> str: ...
    async def get_health(self) -> Health: ...
    async def get_network(self) -> Network: ...
    async def check_passphrase(self, passphrase: str) -> None: ...
    async def get_events(self, contracts: Sequence[str], start: int | str, limit: int = 1000) -> Page: ...
    async def find_events(
        self, filters: Filters, start: int | str, limit: int, until: int | None = None
    ) -> Page: ...
    async def get_ledger(self, ledger: int) -> Ledger | None: ...
    async def get_ledger_entries(self, keys: Sequence[str]) -> tuple[int, dict[str, LedgerEntry]]: ...
    def turn_away(self, reason: str) -> bool: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Time-outs in seconds (the node itself gives up on a request after 25), and the cap on a body."""

    total_s: float = 30.0
    connect_s: float = 5.0
    body_bytes: int = 32 * 1024 * 1024


class Rpc:
    """One node by address. A call tries once; it raises `Transient`, `Fatal` or `OutOfRange` only.

    `headers` go with every request; neither they nor the address are ever part of an error or a log.
    """

    def __init__(
        self,
        url: SecretStr,
        clock: Clock,
        limits: Limits = Limits(),
        observe: Observe | None = None,
        headers: Mapping[str, SecretStr] | None = None,
    ) -> None:
        self._url, self._clock, self._limits = url, clock, limits
        self._headers = dict(headers or {})
        self._most_events: int | None = None
        self._observe = observe or (lambda method, outcome: None)
        self._ids = count(1)
        self._session: aiohttp.ClientSession | None = None
        self.subject = place_of(url.get_secret_value())

    async def close(self) -> None:
        """Close the connections; the client may be used again afterwards."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get_health(self) -> Health:
        return await self._call("getHealth", None, Health)

    async def get_network(self) -> Network:
        return await self._call("getNetwork", None, Network)

    async def check_passphrase(self, passphrase: str) -> None:
        """Raises `Fatal` when the node serves another network."""
        served = (await self.get_network()).passphrase
        if served != passphrase:
            raise Fatal(
                "checking the network of",
                self.subject,
                f"the node serves {served!r}, configured is {passphrase!r}",
                "set STELLAR_NETWORK_PASSPHRASE and SOROBAN_RPC_URL to one network",
            )

    async def get_events(self, contracts: Sequence[str], start: int | str, limit: int = 1000) -> Page:
        """A page of the events of up to 25 contracts, from a ledger (int) or after a cursor (str).

        Diagnostic events, which only old servers send, are left out.
        """
        return await self.find_events(filters_of(contracts), start, limit)

    async def find_events(
        self, filters: Filters, start: int | str, limit: int, until: int | None = None
    ) -> Page:
        """The same by filters; `until` is the ledger behind the last one, for a page from a ledger. A page
        may hold fewer than `limit` events and yet be full: an operator may allow fewer."""
        request: dict[str, Any] = {"filters": filters, "pagination": {}}
        if isinstance(start, str):
            request["pagination"]["cursor"] = start
        else:
            request["startLedger"] = start
            if until is not None:
                request["endLedger"] = until
        page = await self._find_most(request, limit)
        if any(event.type == "diagnostic" for event in page.events):
            kept: list[Event] = [event for event in page.events if event.type != "diagnostic"]
            page = msgspec.structs.replace(page, events=kept)
        return page

    async def _find_most(self, request: dict[str, Any], limit: int) -> Page:
        """As many events as were asked for, or as many as the operator allows."""
        request["pagination"]["limit"] = min(limit, self._most_events or limit)
        try:
            return await self._call("getEvents", request, Page)
        except Refused as error:
            found = _MOST_EVENTS.match(str(error.cause).partition(" ")[2])
            if found is None or int(found[1]) >= request["pagination"]["limit"]:
                raise
            self._most_events = request["pagination"]["limit"] = int(found[1])
        return await self._call("getEvents", request, Page)

    async def get_ledger(self, ledger: int) -> Ledger | None:
        """The hash and the close time of a ledger; None where the node does not tell. The answer holds the
        ledger's transactions too: megabytes where it was busy, so it is for ledgers without events."""
        request = {"startLedger": ledger, "pagination": {"limit": 1}}
        try:
            found = (await self._call("getLedgers", request, Ledgers)).ledgers
        except Refused as error:
            if error.code == METHOD_NOT_FOUND:
                return None
            raise
        return found[0] if found and found[0].sequence == ledger else None

    def turn_away(self, reason: str) -> bool:
        """There is no other node to ask."""
        return False

    async def get_ledger_entries(self, keys: Sequence[str]) -> tuple[int, dict[str, LedgerEntry]]:
        """(ledger, entries by key) of up to 200 base64 ledger keys; a key without an entry is left out."""
        if not 0 < len(keys) <= MAX_KEYS:
            raise ValueError(f"{len(keys)} ledger keys, 1 to {MAX_KEYS} are allowed")
        found = await self._call("getLedgerEntries", {"keys": list(keys)}, LedgerEntries)
        return found.latest_ledger, {entry.key: entry for entry in found.entries or ()}

    async def _call(self, method: str, params: Mapping[str, Any] | None, answer: type[T]) -> T:
        try:
            result = await self._exchange(method, params, answer)
        except DriftwatchError as error:
            is_transient = isinstance(error, Transient)
            outcome = "out_of_range" if isinstance(error, OutOfRange) else "refused"
            self._observe(method, "transient" if is_transient else outcome)
            raise
        self._observe(method, "ok")
        return result

    async def _exchange(self, method: str, params: Mapping[str, Any] | None, answer: type[T]) -> T:
        number = next(self._ids)
        request = {"jsonrpc": "2.0", "id": number, "method": method}
        if params is not None:
            request["params"] = params
        body = await self._post(method, orjson.dumps(request))
        operation = f"calling {method} of"
        try:
            envelope = msgspec.json.decode(body, type=Envelope)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Transient(operation, self.subject, f"no JSON-RPC answer: {error}") from error
        if envelope.error is not None:
            raise self._fault(method, envelope.error)
        if envelope.id != number:
            raise Transient(operation, self.subject, f"answers request {envelope.id!r} instead of {number}")
        if bytes(envelope.result) in (b"", b"null"):
            raise Transient(operation, self.subject, "an answer without a result")
        return read_answer(bytes(envelope.result), answer, operation, self.subject)

    async def _post(self, method: str, body: bytes) -> bytes:
        operation = f"calling {method} of"
        try:
            async with self._open().post(
                self._url.get_secret_value(),
                data=body,
                headers={
                    "Content-Type": "application/json",
                    **{name: value.get_secret_value() for name, value in self._headers.items()},
                },
                allow_redirects=False,
            ) as response:
                received = await self._read(response)
                if response.status != 200:
                    raise self._refusal(operation, response, received)
                return received
        except aiohttp.InvalidURL as error:
            raise Fatal(operation, self.subject, "no valid address", "check SOROBAN_RPC_URL") from error
        except TimeoutError as error:
            raise Transient(
                operation, self.subject, f"no answer within {self._limits.total_s:g} s"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            # The text of these errors may hold the whole address, and with it a credential.
            cause = f"connection failed: {type(error).__name__}"
            raise Transient(operation, self.subject, cause, "is a node up at SOROBAN_RPC_URL?") from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._limits.total_s, connect=self._limits.connect_s)
            self._session = aiohttp.ClientSession(timeout=timeout, loop=asyncio.get_running_loop())
        return self._session

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_chunked(256 * 1024):
            size += len(part)
            if size > self._limits.body_bytes:
                raise Transient("reading from", self.subject, f"more than {self._limits.body_bytes} bytes")
            parts.append(part)
        return b"".join(parts)

    def _refusal(self, operation: str, response: aiohttp.ClientResponse, body: bytes) -> DriftwatchError:
        status = response.status
        text = body[:200].decode("utf-8", "replace").strip()
        cause = f"HTTP {status} {text}".strip()
        if status in (408, 425, 429) or (status >= 500 and not text.startswith(_OUR_FAULT_500)):
            wait = seconds_of(response.headers.get("Retry-After"), self._clock)
            return Transient(operation, self.subject, cause, retry_after_s=wait)
        hint = "check SOROBAN_RPC_URL: this address is no Stellar RPC node"
        if status in (401, 403):
            hint = "check the credential in SOROBAN_RPC_URL or DRIFTWATCH_RPC_HEADERS"
        if status == 204 or status >= 500 or status == 413:
            hint = ""
        return Fatal(operation, self.subject, cause, hint)

    def _fault(self, method: str, fault: Fault) -> DriftwatchError:
        found = _RANGE.search(fault.message)
        if found is not None:
            return OutOfRange(self.subject, int(found[1]), int(found[2]))
        detail = f" ({fault.data})" if fault.data is not None else ""
        cause = f"{fault.code} {fault.message}{detail}"
        operation = f"calling {method} of"
        if fault.code == _OVER_TIME:
            return OverTime(operation, self.subject, cause)
        if fault.code in _TRANSIENT_CODES:
            return Transient(operation, self.subject, cause)
        return Refused(operation, self.subject, cause, fault.code)


def filters_of(contracts: Sequence[str]) -> list[dict[str, Any]]:
    """Up to 25 contract ids as the filters of one request. An empty list would mean everything: refused."""
    if not 0 < len(contracts) <= MAX_CONTRACTS:
        raise Fatal(
            "filtering events by", f"{len(contracts)} contracts", f"1 to {MAX_CONTRACTS} fit in one request"
        )
    starts = range(0, len(contracts), _CONTRACTS_A_FILTER)
    return [{"contractIds": list(contracts[start : start + _CONTRACTS_A_FILTER])} for start in starts]


def read_answer(result: bytes, answer: type[T], operation: str, subject: str) -> T:
    """Decode a result; numbers may be strings. Raises `Fatal` for a shape that no node of today answers."""
    try:
        return msgspec.json.decode(result, type=answer, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        hint = "stellar-rpc 22 or newer is needed"
        raise Fatal(operation, subject, f"an answer of another shape: {error}", hint) from error


def place_of(url: str) -> str:
    """Scheme, host and port of an address: what may be shown of it (path and user may hold a credential)."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the RPC node"
    return f"{parts.scheme}://{parts.hostname}{port}" if parts.hostname else "the RPC node"


def seconds_of(retry_after: str | None, clock: Clock) -> float | None:
    """A Retry-After header, seconds or a date, as seconds from now; None where it says nothing usable."""
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - clock.now_us() / 1e6)
    except (ValueError, TypeError, OverflowError):
        return None

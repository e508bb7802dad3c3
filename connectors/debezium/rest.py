"""Kafka Connect's REST interface: one connector, always begun without a stored offset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from app.clock import Clock
from app.errors import Fatal, Transient
from connectors.debezium.configuration import CONNECTOR

_TIMEOUT_S: Final = 10.0
_SETTLE_S: Final = 30.0
_LONGEST_TRACE: Final = 600


@dataclass(frozen=True, slots=True)
class ConnectorState:
    """`connector` and `task`: RUNNING, STOPPED, FAILED, …; None: there is none. `trace`: why it failed."""

    connector: str | None
    task: str | None = None
    trace: str = ""

    @property
    def is_running(self) -> bool:
        return self.connector == "RUNNING" and self.task == "RUNNING"

    @property
    def has_failed(self) -> bool:
        return "FAILED" in (self.connector, self.task)


class ConnectRest:
    """The worker at `url`. Raises `Transient` while it does not answer, `Fatal` where it refuses."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.url, self._clock = url.rstrip("/"), clock
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S), headers={"Content-Type": "application/json"}
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def answers(self) -> bool:
        """Is the worker ready for connectors? (It answers `/` about a second earlier.)"""
        try:
            return (await self._ask("GET", "/connectors"))[0] == 200
        except Transient:
            return False

    async def halt(self) -> None:
        """Stop the connector where there is one; it streams nothing any more when this returns."""
        if (await self.state()).connector is not None:
            await self._expect("PUT", f"/connectors/{CONNECTOR}/stop")
            await self._until_stopped()

    async def begin(self, config: Mapping[str, str]) -> None:
        """Run a halted connector from the replication slot's own position, its stored offset wiped first.

        A kept offset loses committed rows silently on an ordinary stop and resume (measured, Debezium 3.7).
        """
        if (await self.state()).connector is None:
            body = {"name": CONNECTOR, "config": dict(config), "initial_state": "STOPPED"}
            await self._expect("POST", "/connectors", body)
            await self._until_stopped()
        await self._expect("DELETE", f"/connectors/{CONNECTOR}/offsets")
        await self._expect("PUT", f"/connectors/{CONNECTOR}/config", dict(config))
        await self._expect("PUT", f"/connectors/{CONNECTOR}/resume")

    async def state(self) -> ConnectorState:
        """What Connect says of the connector; RUNNING may be wrong for a second, and for a lost slot."""
        status, body = await self._ask("GET", f"/connectors/{CONNECTOR}/status")
        if status != 200:
            return ConnectorState(None)
        tasks = body.get("tasks") or []
        connector = body.get("connector", {})
        trace = (tasks[0] if tasks else connector).get("trace", "")
        return ConnectorState(
            connector.get("state"), tasks[0]["state"] if len(tasks) == 1 else None, trace[:_LONGEST_TRACE]
        )

    async def _until_stopped(self) -> None:
        deadline = self._clock.monotonic_s() + _SETTLE_S
        while (await self.state()).connector != "STOPPED":
            if self._clock.monotonic_s() > deadline:
                raise Transient("stopping", f"the connector at {self.url}", f"not after {_SETTLE_S:g} s")
            await self._clock.sleep(0.1)

    async def _expect(self, method: str, path: str, body: object = None) -> None:
        status, said = await self._ask(method, path, body)
        if status == 409 or status >= 500:
            raise Transient("configuring", f"Connect at {self.url}", f"HTTP {status} {_message(said)}")
        if status >= 400:
            raise Fatal("configuring", f"Connect at {self.url}", f"HTTP {status} {_message(said)}")

    async def _ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        if self._session is None:
            raise RuntimeError("not entered")
        try:
            async with self._session.request(method, self.url + path, json=body) as response:
                is_json = response.content_type == "application/json"
                return response.status, await response.json() if is_json else await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Transient("asking", f"Connect at {self.url}", type(error).__name__) from error


def _message(said: Any) -> str:
    """Connect's own words; they may quote the configuration, so only its validation errors are passed on."""
    text = said.get("message", "") if isinstance(said, dict) else str(said)
    return text[:_LONGEST_TRACE]

"""What a demo runs against: services of its own, a simulated network, and driftwatch's processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import SecretStr

from app.clock import Clock
from app.demo.credit import CreditSetting
from app.demo.rpc.config import NodeConfig
from app.demo.scenario import Setting
from app.demo.truth import Window
from app.native.child import free_port
from app.native.postgres import NativePostgres
from app.native.stack import NativeStack
from app.native.supervisor import Service, Supervisor
from app.rules.document import parse_yaml
from app.settings import RULES_FOLDER, Settings
from connectors.kafka.topics import ensure_topics
from connectors.postgres.canary import CanaryTable

PARTITIONS = 4
LEDGERS_KEPT = 1800
"""About an hour: a demo that runs until Ctrl-C must not grow without end."""
READY_WITHIN_S = 90.0
NETWORK = "driftwatch demo network"
CANARY_EVERY_S: Final = 5


@dataclass(frozen=True, slots=True)
class SystemOptions:
    """`folder` keeps data and logs; `chaos`: parts will be killed, so a killed worker's partitions must
    move soon. `canary`: drift of its own is planted all the while."""

    folder: Path
    window: Window
    chaos: bool = False
    canary: bool = False
    setting: Setting = field(default_factory=CreditSetting)


CANARY: Final = "canary"
PROCESSES: Final = ("connect", "poller", "worker", "sweeper")
"""What runs all the time."""


class System:
    """Everything up on entering but driftwatch itself, which `start_pipeline` starts; nothing left on
    leaving. `chain` is what the setting opened."""

    chain: Any

    def __init__(self, options: SystemOptions, clock: Clock) -> None:
        self.options, self.clock = options, clock
        self._stack = AsyncExitStack()
        self.kafka = self.database = ""
        self.postgres: NativePostgres | None = None
        """None where the database is somebody else's."""

    async def __aenter__(self) -> System:
        async with AsyncExitStack() as stack:
            native = await stack.enter_async_context(
                NativeStack(self.options.folder / "services", self.clock)
            )
            self.kafka, self.database, self.postgres = native.kafka, native.database, native.postgres
            chain = self.options.setting.open_chain(NETWORK, self.clock, NodeConfig(retention=LEDGERS_KEPT))
            self.chain = await stack.enter_async_context(chain)
            self.ports = {name: free_port() for name in (*PROCESSES, CANARY)}
            self.supervisor = await stack.enter_async_context(
                Supervisor(self.options.folder / "logs", self.environment(), self.clock)
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def environment(self) -> dict[str, str]:
        """What driftwatch's processes are told."""
        return {
            "DRIFTWATCH_KAFKA": self.kafka,
            "DRIFTWATCH_DATABASE": self.database,
            "DRIFTWATCH_PARTITIONS": str(PARTITIONS),
            "DRIFTWATCH_RULES": ",".join(map(str, self._rules())),
            "DRIFTWATCH_SESSION_TIMEOUT_S": "6" if self.options.chaos else "30",
            "DRIFTWATCH_POLLER_INTERVAL_MS": "200",
            "DRIFTWATCH_HEARTBEAT_MS": "1000",
            "DRIFTWATCH_CONNECT_FOLDER": str(self.options.folder / "connect"),
            "SOROBAN_RPC_URL": self.chain.url,
            "STELLAR_NETWORK_PASSPHRASE": NETWORK,
            **self.options.setting.contracts(self.chain),
            **{f"DRIFTWATCH_{name.upper()}_PORT": str(port) for name, port in self.ports.items()},
        }

    def _rules(self) -> list[Path]:
        canary = [RULES_FOLDER / "canary.yaml"] if self.options.canary else []
        return [self._write_rule(), *canary]

    def _write_rule(self) -> Path:
        """The shipped rule with a demo's shorter window."""
        setting = self.options.setting
        rule: Any = parse_yaml((RULES_FOLDER / setting.rule_file).read_text(encoding="utf-8"))
        setting.change_rule(rule)
        window = self.options.window
        rule["window"] = {
            name: f"{value // 1000}ms"
            for name, value in (
                ("lag", window.lag_us),
                ("lead", window.lead_us),
                ("skew", window.skew_us),
                ("min", window.min_us),
            )
        }
        path = self.options.folder / setting.rule_file
        path.write_text(yaml.safe_dump(rule, sort_keys=False), encoding="utf-8")
        return path

    async def start_pipeline(
        self, say: Callable[[str], None], seeded_within_s: float = READY_WITHIN_S
    ) -> None:
        """Start Connect, poller and worker side by side, then read both sides once; all of it ready after.

        Raises `Fatal` with the log of a part that does not come up."""
        say("making the topics")
        await ensure_topics(Settings(kafka=self.kafka, partitions=PARTITIONS))
        if self.options.canary:
            await self._make_canary()
        say(f"starting {', '.join(PROCESSES)}")
        run = self.supervisor
        ports = self.ports
        await run.start(Service("connect", ("connect", "--create-slot"), ports["connect"]))
        for name in PROCESSES[1:]:
            await run.start(Service(name, (name,), ports[name]))
        await run.start(Service("seed", ("seed", "--if-needed"), ends=True))
        await asyncio.gather(*(run.until_ready(name, READY_WITHIN_S) for name in PROCESSES))
        say("reading both sides for the first time")
        await run.until_ended("seed", seeded_within_s)
        if self.options.canary:
            every, within = f"{CANARY_EVERY_S}s", "60s"
            await run.start(
                Service(CANARY, (CANARY, "--every", every, "--within", within), self.ports[CANARY])
            )

    async def _make_canary(self) -> None:
        table = CanaryTable(SecretStr(self.database))
        try:
            await table.create()
        finally:
            await table.close()

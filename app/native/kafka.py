"""A Kafka broker of our own: one KRaft node on free ports of loopback."""

from __future__ import annotations

import asyncio
import base64
import shutil
import signal
import uuid
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from app.clock import Clock
from app.errors import Fatal
from app.native.child import Child, free_port, log_tail
from app.native.jars import Jars

_START_WITHIN_S: Final = 60.0
_SETTINGS: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder}/data
num.partitions=4
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
auto.create.topics.enable=false
"""


class NativeKafka:
    """Running inside the context, reachable at `address` (host:port)."""

    def __init__(self, jars: Jars, folder: Path, clock: Clock) -> None:
        self.jars, self.folder, self.clock = jars, folder, clock
        self.address = ""
        self._child: Child | None = None

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        broker, controller = free_port(), free_port()
        settings = self.folder / "server.properties"
        text = _SETTINGS.format(broker=broker, controller=controller, folder=self.folder)
        settings.write_text(text, encoding="utf-8")
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        arguments = ("format", "--standalone", f"--cluster-id={cluster}", f"--config={settings}")
        command = self.jars.java("kafka.tools.StorageTool", *arguments, heap_mb=128)
        await (await Child.start("kafka format", command, self._log)).wait(_START_WITHIN_S)
        self.address = f"127.0.0.1:{broker}"
        try:
            await self.start()
        except BaseException:
            await self.stop(signal.SIGKILL)
            raise
        return self

    @property
    def _log(self) -> Path:
        return self.folder / "kafka.log"

    async def start(self) -> None:
        """Start the broker on its data, and wait until it answers. Raises `Fatal` with its log."""
        command = self.jars.java("kafka.Kafka", str(self.folder / "server.properties"), heap_mb=512)
        self._child = await Child.start("kafka", command, self._log)
        deadline = self.clock.monotonic_s() + _START_WITHIN_S
        while not await self._answers():
            if not self._child.is_running or self.clock.monotonic_s() > deadline:
                raise Fatal("starting", "Kafka", f"it does not answer\n{log_tail(self._log)}")
            await self.clock.sleep(0.1)

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", int(self.address.rpartition(":")[2]))
        except OSError:
            return False
        writer.close()
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
        try:
            await admin.start()
            await admin.list_topics()
        except (KafkaError, OSError):
            return False
        else:
            return True
        finally:
            await admin.close()

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop the broker; its data stays. `start` brings it back at the same address."""
        if self._child is not None:
            await self._child.stop(how=how)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

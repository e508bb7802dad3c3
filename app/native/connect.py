"""A Kafka Connect worker of our own: standalone, a child process with no stored offset at each start."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Final

from app.clock import Clock
from app.errors import Transient
from app.native.child import Child, free_port, log_tail
from app.native.jars import Jars
from connectors.debezium.rest import ConnectRest

_ANSWERS_WITHIN_S: Final = 60.0
_SETTINGS: Final = """\
bootstrap.servers={kafka}
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
offset.storage.file.filename={folder}/connect.offsets
offset.flush.interval.ms=1000
plugin.path={plugins}
plugin.discovery=service_load
listeners=http://127.0.0.1:{port}
connector.client.config.override.policy=All
"""


class NativeConnect:
    """Implements `ConnectWorker`. Killed with its parent, however that dies; its log is `connect-jvm.log`."""

    def __init__(self, jars: Jars, kafka: str, folder: Path, clock: Clock) -> None:
        self.jars, self.kafka, self.folder, self.clock = jars, kafka, folder, clock
        self.url = ""
        self._child: Child | None = None

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.is_running

    async def start(self) -> None:
        """Start the worker without any offset. Raises `Transient` with its log where it does not answer."""
        await self.stop()
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "connect.offsets").unlink(missing_ok=True)
        port = free_port()
        settings = self.folder / "worker.properties"
        text = _SETTINGS.format(kafka=self.kafka, folder=self.folder, plugins=self.jars.plugins, port=port)
        settings.write_text(text, encoding="utf-8")
        main = "org.apache.kafka.connect.cli.ConnectStandalone"
        command = self.jars.java(main, str(settings), heap_mb=512)
        log = self.folder / "connect-jvm.log"
        self._child = await Child.start("connect", command, log, on_parent_death=signal.SIGKILL)
        self.url = f"http://127.0.0.1:{port}"
        async with ConnectRest(self.url, self.clock) as rest:
            deadline = self.clock.monotonic_s() + _ANSWERS_WITHIN_S
            while not await rest.answers():
                if not self.is_running or self.clock.monotonic_s() > deadline:
                    await self.stop()
                    raise Transient("starting", "Kafka Connect", f"it does not answer\n{log_tail(log)}")
                await self.clock.sleep(0.1)

    async def stop(self) -> None:
        if self._child is not None:
            await self._child.stop(5.0)


class RemoteConnect:
    """A Connect worker that somebody else runs, by address. Implements `ConnectWorker`."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.url, self.clock = url, clock
        self.is_running = True

    async def start(self) -> None:
        """It runs already."""

    async def stop(self) -> None:
        """It goes on: the connector streams also while nobody supervises it."""

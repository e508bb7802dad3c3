"""One child process: started with its output in a file, dead when its parent dies, stopped in two steps."""

from __future__ import annotations

import asyncio
import ctypes
import pwd
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from app.errors import Fatal

_PR_SET_PDEATHSIG: Final = 1
_LOG_TAIL: Final = 15
_PORTS_START: Final = 10_240
_PORTS_END: Final = 32_768
"""Linux takes ephemeral ports from here on (ip(7), ip_local_port_range), other systems from higher up."""
_GIVEN: Final[set[int]] = set()


def free_port() -> int:
    """A port of loopback that nobody listens on, and that this process was not given before.

    It lies below the range from which the kernel takes the ports of outgoing connections, so that none of
    them has it when whoever asked comes to listen, nor while a server is down between two of its lives.
    """
    while True:
        port = secrets.randbelow(_PORTS_END - _PORTS_START) + _PORTS_START
        with socket.socket() as listener, suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            if port not in _GIVEN:
                _GIVEN.add(port)
                return port


def log_tail(path: Path) -> str:
    """The last lines of a log, as far as there is one."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return "\n".join(text.splitlines()[-_LOG_TAIL:])


def dies_with_parent(how: signal.Signals) -> Callable[[], None]:
    """For the child, before exec: `how` is sent to it when its parent dies, however it dies (Linux only)."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None

    def ask() -> None:
        if library is not None:
            library.prctl(_PR_SET_PDEATHSIG, how)

    return ask


async def end_within(process: asyncio.subprocess.Process, grace_s: float) -> None:
    """Wait for a process that was asked to end, and kill it after the grace time; returns when it is gone."""
    try:
        await asyncio.wait_for(process.wait(), grace_s)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class Child:
    """A running child process. Its output is appended to `log`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name, self.process, self.log = name, process, log

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        user: str | None = None,
        on_parent_death: signal.Signals = signal.SIGTERM,
    ) -> Child:
        """Start `command` as `user` (None: as we are). Raises `Fatal` where the program is not there."""
        identity: dict[str, Any] = {}
        if user is not None:
            account = pwd.getpwnam(user)
            identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        try:
            with log.open("ab") as output:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=log.parent,
                    preexec_fn=dies_with_parent(on_parent_death),
                    **identity,
                )
        except FileNotFoundError as error:
            raise Fatal("starting", name, error, f"is {command[0]} installed?") from error
        return cls(name, process, log)

    @property
    def is_running(self) -> bool:
        return self.process.returncode is None

    async def wait(self, within_s: float) -> None:
        """Wait for a good end. Raises `Fatal` with the log's tail for a bad one, and past `within_s`."""
        try:
            code = await asyncio.wait_for(self.process.wait(), within_s)
        except TimeoutError:
            await self.stop(0.0)
            raise Fatal(
                "running", self.name, f"not done after {within_s:g} s\n{log_tail(self.log)}"
            ) from None
        if code != 0:
            raise Fatal("running", self.name, f"exit code {code}\n{log_tail(self.log)}")

    async def stop(self, grace_s: float = 10.0, how: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, and end it after the grace time; returns when it is gone."""
        if self.is_running:
            with suppress(ProcessLookupError):
                self.process.send_signal(how)
        await end_within(self.process, grace_s)

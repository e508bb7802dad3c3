"""One process a slot: a static group member id is safe only while nobody else uses it."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO

from app.errors import Fatal


class Slot:
    """A held slot of a fixed, supervised set of workers. The lock goes with the process, however it ends.

    Two processes with one static id would fight for ever, and both would work (aiokafka 0.14).
    """

    def __init__(self, app_id: str, number: str) -> None:
        self.instance_id = f"{app_id}-{number}"
        path = Path(tempfile.gettempdir()) / f"driftwatch-{self.instance_id}.lock"
        self._file: IO[str] = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            hint = "give each worker its own DRIFTWATCH_WORKER_SLOT, or none"
            raise Fatal("taking", f"worker slot {number}", "another process holds it", hint) from error
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        self._file.close()

"""`python -m app.native`: whether this machine has all that the native stack needs; resolves the jars."""

from __future__ import annotations

import re
import subprocess
import sys

from app.errors import Fatal
from app.native.jars import java_program, resolve_jars
from app.native.postgres import find_binaries

_OLDEST_JAVA = 17


def main() -> int:
    """Say everything that is missing at once; 0 when nothing is."""
    missing: list[str] = []
    for look in (_check_java, resolve_jars, find_binaries):
        try:
            look()
        except Fatal as error:
            missing.append(str(error))
    for line in missing:
        sys.stderr.write(f"driftwatch setup: {line}\n")
    return 1 if missing else 0


def _check_java() -> None:
    said = subprocess.run([java_program(), "-version"], check=False, capture_output=True, text=True).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) < _OLDEST_JAVA:
        cause = f"{said.splitlines()[0] if said else 'it does not run'}"
        raise Fatal("starting", "Java", cause, f"install a Java runtime, {_OLDEST_JAVA} or newer")


if __name__ == "__main__":
    raise SystemExit(main())

"""The jars of Kafka, Connect and Debezium: resolved once with Maven, kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from app.errors import Fatal

_LOGGING: Final = """\
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %m (%c{1})%n%throwable{30}
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
logger.config.name = org.apache.kafka.common.config.AbstractConfig
logger.config.level = WARN
logger.rest.name = org.apache.kafka.connect.runtime.rest.RestServer
logger.rest.level = WARN
"""


@dataclass(frozen=True, slots=True)
class Jars:
    """Where they stand: `libs` serves broker and Connect, `plugins` is Connect's plugin path."""

    libs: Path
    plugins: Path
    logging: Path

    def java(self, main: str, *arguments: str, heap_mb: int) -> list[str]:
        """The command that runs a class: small heap, quick start."""
        flags = (f"-Xmx{heap_mb}m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
        logging = f"-Dlog4j2.configurationFile={self.logging}"
        return [java_program(), *flags, "-Xshare:auto", logging, "-cp", f"{self.libs}/*", main, *arguments]


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/driftwatch`, else `~/.cache/driftwatch`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "driftwatch"


def resolve_jars() -> Jars:
    """The jars of the pinned coordinates; downloaded where this machine has not got them yet.

    A folder is complete or not there at all. Raises `Fatal` with what Maven said.
    """
    with as_file(files("connectors.debezium") / "pom.xml") as pom:
        content = pom.read_bytes()
        place = cache_folder() / f"jars-{hashlib.sha256(content).hexdigest()[:12]}"
        if not place.exists():
            _download(pom, place)
    logging = place / "log4j2.properties"
    if not logging.exists() or logging.read_text(encoding="utf-8") != _LOGGING:
        logging.write_text(_LOGGING, encoding="utf-8")
    return Jars(place / "libs", place / "plugins", logging)


def _download(pom: Path, place: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Fatal("resolving", "the jars of Kafka and Debezium", "Maven is missing", "install maven")
    java_program()
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
        (Path(scratch) / "pom.xml").write_bytes(pom.read_bytes())
        made = Path(scratch) / "made"
        command = [maven, "-q", "-B", "-f", f"{scratch}/pom.xml", f"-Ddestination={made}", "package"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip()[-2000:]
            hint = "does Maven reach its repository (settings.xml, proxy)?"
            raise Fatal("resolving", "the jars of Kafka and Debezium", said, hint)
        try:
            made.rename(place)
        except OSError:
            if not place.exists():
                raise


def java_program() -> str:
    """The program `java`, 17 or newer."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java") or (shutil.which(f"{home}/bin/java") if home else None)
    if java is None:
        raise Fatal("starting", "Kafka", "Java is missing", "install a Java runtime, 17 or newer")
    return java

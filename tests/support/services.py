"""Real PostgreSQL and Kafka for tests: by address, in containers, or native; a missing one fails."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from testcontainers.community.kafka import KafkaContainer
from testcontainers.community.postgres import PostgresContainer

from app.clock import SystemClock
from app.native.stack import NativeStack

POSTGRES_IMAGE = "postgres:17"
KAFKA_IMAGE = "apache/kafka:4.3.0"


@dataclass(frozen=True, slots=True)
class Services:
    """`kafka`: host:port. `database`: the DSN of a superuser; wal_level is logical."""

    kafka: str
    database: str
    native: NativeStack | None = None


@contextmanager
def running_services() -> Iterator[Services]:
    """The services that the environment names, else containers where a Docker engine answers, else native."""
    kafka, database = os.environ.get("DRIFTWATCH_KAFKA"), os.environ.get("DRIFTWATCH_DATABASE")
    if kafka and database:
        yield Services(kafka, database)
    elif _docker_answers():
        with _containers() as services:
            yield services
    else:
        with _native() as services:
            yield services


def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], check=False, capture_output=True, timeout=20).returncode == 0


@contextmanager
def _containers() -> Iterator[Services]:
    postgres = PostgresContainer(POSTGRES_IMAGE, driver=None).with_command("postgres -c wal_level=logical")
    with postgres, KafkaContainer(KAFKA_IMAGE).with_kraft() as kafka:
        yield Services(kafka.get_bootstrap_server(), postgres.get_connection_url())


@contextmanager
def _native() -> Iterator[Services]:
    """The native stack on a loop and a thread of its own, so that every test may have its own loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    folder = Path(tempfile.mkdtemp(prefix="driftwatch-tests-"))
    stack = NativeStack(folder, SystemClock())
    try:
        asyncio.run_coroutine_threadsafe(stack.__aenter__(), loop).result(120)
        try:
            yield Services(stack.kafka, stack.database, stack)
        finally:
            asyncio.run_coroutine_threadsafe(stack.__aexit__(None, None, None), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
        shutil.rmtree(folder, ignore_errors=True)

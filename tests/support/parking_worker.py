"""`driftwatch worker` with a bug in it: the record of one key (the first argument) makes its codec fail."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from app.clock import SystemClock
from app.detector.model import Input
from app.ports import Codec, Record
from app.rules import load_rules
from app.settings import load_settings
from app.stream.worker import Reading, run_worker
from app.telemetry import configure_logging
from app.wiring import build_codecs


class BuggyCodec:
    """Another codec, but for a key."""

    def __init__(self, codec: Codec, key: bytes) -> None:
        self.codec, self.key = codec, key
        self.skipped = codec.skipped

    def decode(self, record: Record) -> Sequence[Input]:
        if record.key == self.key:
            raise ZeroDivisionError("a bug")
        return self.codec.decode(record)


if __name__ == "__main__":
    configure_logging(as_json=True)
    settings = load_settings()
    rules = load_rules(settings.rules, os.environ)
    codecs = dict(build_codecs(rules, settings.topic_prefix))
    topic = settings.topic("db.changes")
    codecs[topic] = BuggyCodec(codecs[topic], sys.argv[1].encode())
    run_worker(settings, Reading(rules, codecs), SystemClock())

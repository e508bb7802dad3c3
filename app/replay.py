"""Runs rules over a recorded log: no Kafka, no clock, no network; the same bytes for the same file."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import orjson

from app.detector.detector import Detector
from app.detector.model import INFINITY, Rule, Transition
from app.detector.panel import Panel
from app.detector.unverifiable import UnverifiableLog
from app.detector.values import format_time
from app.errors import Fatal, Poison
from app.ports import Codec


class Line(msgspec.Struct):
    """One line of a recorded log (wire.md section 7), and the record it was.

    `value` stays bytes until its codec reads it.
    """

    topic: str
    partition: int
    offset: int = -1
    timestamp: int = 0
    key_text: str | None = msgspec.field(name="key", default=None)
    value_text: msgspec.Raw = msgspec.field(name="value", default=msgspec.Raw(b"null"))
    header_texts: dict[str, str | None] = msgspec.field(name="headers", default_factory=dict)
    key_b64: str | None = None
    value_b64: str | None = None

    @property
    def key(self) -> bytes | None:
        """The key's bytes; raises `binascii.Error` or `UnicodeEncodeError` where the log is damaged."""
        if self.key_text is not None:
            return self.key_text.encode()
        return None if self.key_b64 is None else base64.b64decode(self.key_b64, validate=True)

    @property
    def value(self) -> bytes | None:
        """The value's bytes; None for a tombstone."""
        if self.value_b64 is not None:
            return base64.b64decode(self.value_b64, validate=True)
        text = bytes(self.value_text)
        return None if text == b"null" else text

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """The headers as the broker gives them."""
        if not self.header_texts:
            return ()
        return [(name, (text or "").encode()) for name, text in self.header_texts.items()]


@dataclass
class Summary:
    """What a replay met. `refused`: records that no codec understood, by what was wrong with them."""

    records: int = 0
    events: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    open: dict[str, int] = field(default_factory=dict)


class Replay:
    """Feeds lines to one panel a partition; `write` gets one JSON line (bytes, with its newline) an event."""

    def __init__(
        self,
        rules: Sequence[Rule],
        codecs: Mapping[str, Codec],
        write: Callable[[bytes], object],
        *,
        from_empty: bool = False,
    ) -> None:
        self.rules, self.codecs, self.write, self.from_empty = rules, codecs, write, from_empty
        self.logs = {rule.id: UnverifiableLog() for rule in rules}
        self.panels: dict[int, Panel] = {}
        self.summary = Summary()
        self._decode = msgspec.json.Decoder(Line).decode

    def run(self, lines: Iterable[bytes]) -> Summary:
        """Every line in order; raises `Fatal` naming the line that is no record."""
        number = 0
        decode, feed = self._decode, self._feed
        for number, text in enumerate(lines, 1):
            try:
                feed(decode(text))
            except (msgspec.DecodeError, binascii.Error, UnicodeEncodeError) as error:
                if text.isspace():
                    continue
                hint = "a line is {topic, partition, offset, timestamp, key, value, headers}"
                raise Fatal("replaying", f"line {number}", error, hint) from error
        self.summary.records = number
        return self._close()

    def _feed(self, record: Line) -> None:
        codec = self.codecs.get(record.topic)
        if codec is None:
            self._refuse(f"topic {record.topic} is not read")
            return
        panel = self.panels.get(record.partition)
        if panel is None:
            panel = self.panels[record.partition] = self._new_panel()
        try:
            messages = codec.decode(record)
        except Poison as error:
            self._refuse(f"{record.topic}: {error.cause}")
            return
        for message in messages:
            effects = panel.take(message)
            if effects:
                self._publish(effects)
                for detector in panel.detectors.values():
                    detector.step_done()

    def _new_panel(self) -> Panel:
        return Panel(
            [
                Detector(rule, from_empty=self.from_empty, confirmed="replay", log=self.logs[rule.id])
                for rule in self.rules
            ]
        )

    def _publish(self, effects: Sequence[object]) -> None:
        for effect in effects:
            if type(effect) is Transition:
                self.summary.events += 1
                self.write(
                    orjson.dumps(
                        {
                            "ce_id": effect.ce_id,
                            "ce_type": effect.ce_type,
                            "ce_time": effect.ce_time,
                            "headers": effect.headers,
                            "value": effect.value,
                        },
                        option=orjson.OPT_APPEND_NEWLINE,
                    )
                )

    def _refuse(self, why: str) -> None:
        self.summary.refused[why] = self.summary.refused.get(why, 0) + 1

    def _close(self) -> Summary:
        for panel in self.panels.values():
            for detector in panel.detectors.values():
                detector.finish_log()
                for name, count in detector.counts.items():
                    self.summary.counts[name] = self.summary.counts.get(name, 0) + count
                for severity, count in detector.open_by_severity.items():
                    self.summary.open[severity] = self.summary.open.get(severity, 0) + count
        return self.summary

    def unverifiable(self) -> Iterable[bytes]:
        """The stretches that could not be judged, in a fixed order, one JSON line each (wire.md section
        7)."""
        for rule, log in sorted(self.logs.items()):
            for (key, side, start), until in sorted(log.pieces.items()):
                line = {
                    "rule": rule,
                    "key": key,
                    "side": side.value,
                    "from": None if start <= -INFINITY else format_time(start),
                    "until": None if until >= INFINITY else format_time(until),
                    "cause": "continuity",
                }
                yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)

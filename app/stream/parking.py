"""The place at which a partition stands still, kept with its rows so that its incident ends once past it."""

from __future__ import annotations

import msgspec

from app.detector.model import Incident, Side
from app.ports import Record
from app.stream.work import Batch

_LONGEST_CAUSE = 1000


class ParkedPlace(msgspec.Struct, frozen=True):
    """The record that could not be taken in, and what was wrong."""

    topic: str
    offset: int
    at_us: int
    detail: str

    def is_past(self, batch: Batch) -> bool:
        """Has this batch, which was taken in, the record or a later one?"""
        last = batch.records[-1]
        return last.topic == self.topic and last.offset >= self.offset

    def incident(self, rule: str, until_us: int | None) -> Incident:
        """Open while `until_us` is None; the same incident afterwards."""
        return Incident(rule, None, "parked", Side.LEFT, self.at_us, until_us, self.detail)


def place_of(record: Record, cause: Exception) -> ParkedPlace:
    """The place of a record that could not be taken in."""
    return ParkedPlace(record.topic, record.offset, record.timestamp * 1000, str(cause)[:_LONGEST_CAUSE])


def parked_key(partition: int) -> bytes:
    """The reserved key in `episodes`."""
    return b"\0parked|%d" % partition


encode_place = msgspec.msgpack.Encoder().encode
decode_place = msgspec.msgpack.Decoder(ParkedPlace).decode

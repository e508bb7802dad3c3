"""The durable form of a key's state and of a partition's: compact, versioned bytes.

The first byte is the form. A side that is quiet (one row, one version, nothing waiting) has its value first,
with its length, so that two sides can be compared without decoding them; the rest is one MessagePack list.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from app.detector.model import INFINITY, EntryAsOf, RowAsOf, Snapshot
from app.detector.timeline import (
    EpisodeRecord,
    KeyState,
    LeftState,
    RightState,
    RowState,
    Suspect,
    Version,
)

QUIET: Final = 1
FULL: Final = 2
_BIG: Final = 1
"""MessagePack extension: an integer of more than 64 bits, signed big-endian."""
_LONGEST_QUIET_VALUE: Final = 0xFFFF

Packed = Any
"""What msgspec reads back: lists, text, bytes, numbers, None."""


def encode_left(state: LeftState) -> bytes:
    """The left side of a key."""
    if len(state.rows) == 1 and not state.waiting and state.others is None:
        [(row_id, row)] = state.rows.items()
        if len(row.versions) == 1:
            version = row.versions[0]
            rest = (
                _finite(state.horizon),
                row_id,
                row.position,
                _finite(version.at),
                version.position,
                version.trace,
                state.laid,
            )
            quiet = _quiet(version.value, rest)
            if quiet is not None:
                return quiet
    rows = [(row_id, row.position, _versions(row.versions)) for row_id, row in state.rows.items()]
    waiting = [_row_as_of(read) for read in state.waiting]
    others = None if state.others is None else _versions(state.others)
    return b"\2" + _pack((_finite(state.horizon), rows, waiting, state.laid, others))


def decode_left(stored: bytes) -> LeftState:
    """The inverse of `encode_left`."""
    if stored[0] == QUIET:
        value, (horizon, row_id, position, at, version_position, trace, laid) = _read_quiet(stored)
        version = Version(_time(at), version_position, value, _tuple(trace))
        return LeftState(_time(horizon), {row_id: RowState(position, [version])}, None, laid)
    horizon, rows, waiting, laid, others = _unpack(memoryview(stored)[1:])
    return LeftState(
        _time(horizon),
        {row_id: RowState(position, _read_versions(versions)) for row_id, position, versions in rows},
        [_read_row_as_of(read) for read in waiting],
        laid,
        None if others is None else _read_versions(others),
    )


def encode_right(state: RightState) -> bytes:
    """The right side of a key."""
    if len(state.versions) == 1 and not state.waiting:
        version = state.versions[0]
        rest = (
            _finite(state.horizon),
            state.position,
            _finite(state.certain),
            _finite(version.at),
            version.position,
            _shorten(version.trace),
            state.laid,
        )
        quiet = _quiet(version.value, rest)
        if quiet is not None:
            return quiet
    return b"\2" + _pack(
        (
            _finite(state.horizon),
            state.position,
            _finite(state.certain),
            _versions(state.versions),
            [tuple(read) for read in state.waiting],
            state.laid,
        )
    )


def decode_right(stored: bytes) -> RightState:
    """The inverse of `encode_right`."""
    if stored[0] == QUIET:
        value, (horizon, position, certain, at, version_position, trace, laid) = _read_quiet(stored)
        versions = [Version(_time(at), version_position, value, _lengthen(trace))]
        waiting: list[Packed] = []
    else:
        horizon, position, certain, held, waiting, laid = _unpack(memoryview(stored)[1:])
        versions = _read_versions(held)
    state = RightState(versions, _time(horizon), position, _time(certain), laid)
    state.waiting = [EntryAsOf(rule, key, _value(value), *rest) for rule, key, value, *rest in waiting]
    return state


_RECORD_FIELDS: Final = (
    "sequence",
    "flaps",
    "last",
    "severity",
    "until",
    "is_doubted",
    "confirmed",
    "is_taken_up",
    "checked",
)
_SUSPECT_FIELDS: Final = ("left_at", "right_at", "spoiled_at", "is_timed_out")


def encode_record(record: EpisodeRecord | None, suspect: Suspect | None) -> bytes | None:
    """A key's episode record and what it is suspected of; None where there is neither."""
    if record is None and suspect is None:
        return None
    told: Packed = None
    if record is not None:
        more = [getattr(record, name) for name in _RECORD_FIELDS]
        told = (record.judged, record.state, record.episode, record.since, *more)
    suspected: Packed = None
    if suspect is not None:
        more = [getattr(suspect, name) for name in _SUSPECT_FIELDS]
        suspected = (suspect.since, suspect.not_before, *more)
    return b"\2" + _pack((told, suspected))


def decode_record(stored: bytes) -> tuple[EpisodeRecord | None, Suspect | None]:
    """The inverse of `encode_record`."""
    told, suspected = _unpack(memoryview(stored)[1:])
    record = suspect = None
    if told is not None:
        judged, state, episode, since, *more = told
        record = EpisodeRecord(judged, state, episode, since)
        for name, value in zip(_RECORD_FIELDS, more, strict=True):
            setattr(record, name, value)
    if suspected is not None:
        since, not_before, *more = suspected
        suspect = Suspect(since, tuple(not_before))
        for name, value in zip(_SUSPECT_FIELDS, more, strict=True):
            setattr(suspect, name, value)
    return record, suspect


def decode_key(left: bytes | None, right: bytes | None, record: bytes | None) -> KeyState | None:
    """All that is held about one key; None where nothing is."""
    if left is None and right is None and record is None:
        return None
    told, suspect = (None, None) if record is None else decode_record(record)
    return KeyState(
        None if left is None else decode_left(left),
        None if right is None else decode_right(right),
        told,
        suspect,
    )


def is_settled(left: bytes | None, right: bytes | None, record: bytes | None) -> bool:
    """Nothing about this key can change by the passing of time alone: one version a side with equal present
    values, nothing waiting, no episode record. Compares bytes; False is always safe, it only costs a look.
    """
    if record is not None or left is None or right is None or left[0] != QUIET or right[0] != QUIET:
        return False
    end = 3 + (left[1] << 8 | left[2])
    return left[:end] == right[:end] and left[3] & 0xE0 != 0xA0


def encode_partition(rules: dict[str, Packed], offsets: dict[str, int], filled: list[bool]) -> bytes:
    """A partition's record: each rule's own state, the next offset of each topic, and whether `left` and
    `right` have rows."""
    return b"\1" + _pack((rules, offsets, filled))


def decode_partition(stored: bytes) -> tuple[dict[str, Packed], dict[str, int], list[bool]]:
    """The inverse of `encode_partition`; tuples come back as tuples."""
    rules, offsets, filled = _unpack(memoryview(stored)[1:])
    return {rule: _deep_tuple(state) for rule, state in rules.items()}, offsets, filled


def _quiet(value: Packed, rest: tuple[Packed, ...]) -> bytes | None:
    """None where the value is too long for the form."""
    head = _pack(value)
    if len(head) > _LONGEST_QUIET_VALUE:
        return None
    return b"\1" + len(head).to_bytes(2) + head + _pack(rest)


def _read_quiet(stored: bytes) -> tuple[Packed, Packed]:
    end = 3 + (stored[1] << 8 | stored[2])
    return _value(_unpack(stored[3:end])), _unpack(stored[end:])


def _versions(versions: list[Version]) -> list[Packed]:
    return [
        (_finite(version.at), version.position, version.value, _shorten(version.trace))
        for version in versions
    ]


def _read_versions(versions: list[Packed]) -> list[Version]:
    return [
        Version(_time(at), position, _value(value), _lengthen(trace))
        for at, position, value, trace in versions
    ]


def _row_as_of(read: RowAsOf) -> Packed:
    snapshot = (read.snapshot.xmin, read.snapshot.xmax, sorted(read.snapshot.running))
    return (read.rule, read.key, read.row, read.value, snapshot, read.read_at, read.besides)


def _read_row_as_of(packed: Packed) -> RowAsOf:
    rule, key, row, value, (xmin, xmax, running), read_at, besides = packed
    snapshot = Snapshot(xmin, xmax, frozenset(running))
    return RowAsOf(rule, key, row, _value(value), snapshot, read_at, tuple(besides))


def _finite(time_us: int) -> int | None:
    return None if time_us == -INFINITY else time_us


def _time(packed: int | None) -> int:
    return -INFINITY if packed is None else packed


def _value(packed: Packed) -> Packed:
    return tuple(packed) if type(packed) is list else packed


def _tuple(packed: Packed) -> Packed:
    return None if packed is None else tuple(packed)


def _shorten(trace: tuple[object, ...] | None) -> Packed:
    """A transaction hash of 64 hex digits is kept as 32 bytes."""
    if trace is None or type(trace[0]) is not str or len(trace[0]) != 64:
        return trace
    try:
        digest = bytes.fromhex(trace[0])
    except ValueError:
        return trace
    return (digest, *trace[1:]) if digest.hex() == trace[0] else trace


def _lengthen(packed: Packed) -> Packed:
    if packed is None:
        return None
    return (packed[0].hex(), *packed[1:]) if type(packed[0]) is bytes else tuple(packed)


def _deep_tuple(packed: Packed) -> Packed:
    return tuple(_deep_tuple(item) for item in packed) if type(packed) is list else packed


def _widen(packed: Packed) -> Packed:
    """Integers of more than 64 bits as extensions, at any depth."""
    if type(packed) is int:
        if -(1 << 63) <= packed < 1 << 64:
            return packed
        return msgspec.msgpack.Ext(_BIG, packed.to_bytes(packed.bit_length() // 8 + 1, "big", signed=True))
    if isinstance(packed, list | tuple):
        return [_widen(item) for item in packed]
    if isinstance(packed, dict):
        return {key: _widen(item) for key, item in packed.items()}
    return packed


def _read_extension(code: int, content: memoryview) -> int:
    if code != _BIG:
        raise ValueError(f"extension {code}")
    return int.from_bytes(content, "big", signed=True)


_encode = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(ext_hook=_read_extension).decode


def _pack(packed: Packed) -> bytes:
    try:
        return _encode(packed)
    except OverflowError:
        return _encode(_widen(packed))

"""Where Kafka puts a key: the one rule by which both sides of a rule meet in a partition."""

from __future__ import annotations

from aiokafka.partitioner import murmur2


def partition_of(key: bytes, partitions: int) -> int:
    """Kafka's default partition of a key, the same in Connect and aiokafka (murmur2, measured equal)."""
    hashed: int = murmur2(key)
    return (hashed & 0x7FFFFFFF) % partitions

"""What the benchmarks judge: records of the credit rule in topics of their own, and rows of quiet keys."""

from __future__ import annotations

from collections.abc import Iterator

from app.detector.timeline import LeftState, RightState, RowState, Version
from app.settings import Settings
from app.stream.rule_partition import LEFT, RIGHT, row_key
from app.stream.state import encode_left, encode_right
from app.stream.worker import changelogs_of
from connectors.kafka.topics import ensure_topics
from tests.support.credit_stream import CreditStream, Told, key_of, partition_of
from tests.support.kafka import Sender, open_sender

PARTITIONS = 4
KEYS = 20_000
LEDGERS = 60
CHANGES = 1_000
RULE = "credit-line"
_AT_ONCE = 20_000


def make_records() -> list[Told]:
    """About 250,000 records: 20,000 births, then 60,000 draws of which one in 1,000 is not followed."""
    stream = CreditStream(keys=KEYS, partitions=PARTITIONS, drift_every=1_000)
    return [*stream.birth(), *stream.ledgers(LEDGERS, CHANGES)]


async def load(brokers: str, prefix: str, told: list[Told]) -> None:
    """Make the topics of a prefix and fill its sources."""
    await ensure_topics(Settings(kafka=brokers, topic_prefix=prefix, partitions=PARTITIONS))
    async with open_sender(brokers, PARTITIONS) as sender:
        for at in range(0, len(told), _AT_ONCE):
            await sender.place((prefix + topic, *rest) for topic, *rest in told[at : at + _AT_ONCE])


def quiet_rows(number: int) -> tuple[bytes, bytes, bytes]:
    """(row key, left, right) of a key whose sides agree."""
    key = key_of(number)
    value = (key, 1_000_000_000_000, "active", 1_000_000_000_000 - number * 10_000_000, 500)
    at = 1_790_000_000_000_000 + number
    left = LeftState(
        at, {number: RowState(26_712 + number, [Version(at, 26_712 + number, value, (26_712, 7, None))])}
    )
    event_id = f"{number << 32:019d}-0000000001"
    right = RightState([Version(at, 4_000_000, value, (f"{number:064x}", event_id))], at, 4_000_000, at)
    return row_key(RULE, key), encode_left(left), encode_right(right)


async def load_quiet_keys(brokers: str, app_id: str, prefix: str, count: int) -> float:
    """Fill the changelogs of a worker with quiet keys; the mean bytes a key, row keys included."""
    settings = Settings(kafka=brokers, topic_prefix=prefix, partitions=PARTITIONS, app_id=app_id)
    await ensure_topics(settings, changelogs_of(app_id))
    size = 0
    async with open_sender(brokers, PARTITIONS) as sender:
        for first in range(0, count, _AT_ONCE):
            size += await _send_rows(sender, app_id, range(first, min(first + _AT_ONCE, count)))
    return size / count


async def _send_rows(sender: Sender, app_id: str, numbers: range) -> int:
    rows = list(_rows(app_id, numbers))
    await sender.place(rows)
    return sum(len(key) + len(value) for _, _, key, value in rows)


def _rows(app_id: str, numbers: range) -> Iterator[tuple[str, int, bytes, bytes]]:
    left_topic, right_topic = f"{app_id}-{LEFT}-changelog", f"{app_id}-{RIGHT}-changelog"
    for number in numbers:
        partition = partition_of(key_of(number), PARTITIONS)
        key, left, right = quiet_rows(number)
        yield left_topic, partition, key, left
        yield right_topic, partition, key, right

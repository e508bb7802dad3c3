"""`chain.events` as one group of readers of its own takes it, beside the workers."""

from __future__ import annotations

from typing import Any, Final

from app.detector.model import Input
from app.errors import Poison
from app.ports import Codec
from app.settings import Settings
from connectors.kafka.group import FOR_EVER_MS, GroupReader
from schemas.topics import CHAIN_EVENTS

_MOST: Final = 1000
_SETTLED_S: Final = 0.1


class AnnouncedChanges(GroupReader):
    """A new group begins at the end of the topic; `done` commits what `take` gave."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._codec = codec
        super().__init__(
            settings,
            "history",
            [settings.topic(CHAIN_EVENTS)],
            auto_offset_reset="latest",
            fetch_max_wait_ms=50,
            max_poll_interval_ms=FOR_EVER_MS,
        )

    async def take(self, within_s: float) -> list[tuple[int, Input]]:
        """What has come, each with its partition, in the order of that; what comes at once behind it too, as
        one ledger's changes stand in all partitions. Raises `Transient`."""
        records = await self._poll(within_s, _MOST)
        while records and len(records) < _MOST and (more := await self._poll(_SETTLED_S, _MOST)):
            records += more
        return [(record.partition, each) for record in records for each in self._read(record)]

    def _read(self, record: Any) -> list[Input]:
        """What nobody understands, the worker puts among the dead letters."""
        try:
            return list(self._codec.decode(record))
        except Poison:
            return []

"""Names of the topics, without the configurable prefix: the one place where they are spelled."""

from __future__ import annotations

from typing import Final

DB_CHANGES: Final = "db.changes"
CHAIN_EVENTS: Final = "chain.events"
CHAIN_CURSOR: Final = "chain.cursor"
OBSERVATIONS: Final = "drift.observations"
REQUESTS: Final = "drift.requests"
MISMATCHES: Final = "drift.mismatches"
EPISODES: Final = "drift.episodes"
STATUS: Final = "drift.status"
DEAD_LETTERS: Final = "drift.dead-letters"

CO_PARTITIONED: Final = (
    DB_CHANGES,
    CHAIN_EVENTS,
    OBSERVATIONS,
    REQUESTS,
    MISMATCHES,
    EPISODES,
    STATUS,
    DEAD_LETTERS,
)
"""The topics that have the same number of partitions; `chain.cursor` has one."""

ALL: Final = (*CO_PARTITIONED, CHAIN_CURSOR)

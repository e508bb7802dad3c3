"""The only composition root: settings and rules become adapters, adapters become something that runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.ports import Codec
from app.rules import LoadedRule
from connectors.debezium.codec import ChangeCodec
from connectors.soroban.codec import ChainCodec
from schemas.topics import CHAIN_EVENTS, DB_CHANGES


def build_codecs(rules: Sequence[LoadedRule], prefix: str = "") -> Mapping[str, Codec]:
    """The codec of each source topic, by the topic's name with its prefix."""
    return {prefix + DB_CHANGES: ChangeCodec(rules), prefix + CHAIN_EVENTS: ChainCodec(rules)}

"""`driftwatch api --openapi`: the document as text, of an application that has nothing behind it."""

from __future__ import annotations

import json

from app.api.building import build_api
from app.api.description import describe_api
from app.api.envelope import LARGEST_BODY, Guards
from app.api.keys import Doorkeeper
from app.api.limits import TokenBuckets
from app.api.memory import MemoryRecords, MemorySweeps
from app.api.metrics import ApiMetrics
from app.api.parts import ApiParts
from app.clock import SystemClock


def print_description() -> str:
    """The OpenAPI document as text, the same for the same version of the program; nothing is opened."""
    clock, records = SystemClock(), MemoryRecords()
    no_limit = TokenBuckets(0, 0, clock)
    guards = Guards(Doorkeeper(records), no_limit, LARGEST_BODY, clock, ApiMetrics())
    parts = ApiParts(records, MemorySweeps(), {}, (), 1, no_limit, guards)
    document = describe_api(build_api(parts))
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

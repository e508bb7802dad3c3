"""`python -m tests.soak [--ledgers N] [--seed N]`: a life of a poller, and what was wrong with it."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
from dataclasses import fields

from app import telemetry
from tests.soak import soak
from tests.support.services import running_services


def main() -> int:
    """0 when every event was told exactly once or lies inside a declared gap."""
    options = argparse.ArgumentParser(prog="python -m tests.soak")
    options.add_argument("--ledgers", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=None)
    asked = options.parse_args()
    seed = secrets.randbelow(1_000_000) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    telemetry.configure_logging("ERROR")
    with running_services() as services:
        found = asyncio.run(soak(services.kafka, seed, asked.ledgers))
    told = {each.name: getattr(found, each.name) for each in fields(found)}
    print(json.dumps({**told, "missing": found.missing[:10], "twice": found.twice[:10]}))
    return 0 if found.is_right else 1


if __name__ == "__main__":
    sys.exit(main())

"""One measured process: drains the topics as a fresh group, says how fast, and ends.

`python -m tests.bench.subject '<Order as JSON>'` prints one JSON line. Kinds: `bare` and `worker` over either
work, `stock` and `recover` over the detector only.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import msgspec
import uvloop

from app.rules import load_rules
from app.settings import RULES_FOLDER, Settings
from app.stream.app import StreamApp, StreamSettings
from app.stream.rule_partition import TABLES
from app.stream.work import Batch
from app.stream.worker import Reading, WorkerApp, build_worker, run_app
from app.telemetry import configure_logging
from app.wiring import build_codecs
from schemas.topics import CHAIN_EVENTS, DB_CHANGES
from tests.bench.bare import run_bare
from tests.bench.measured import CLOCK, Meter, Order, TrivialWork
from tests.bench.stock import make_stock
from tests.bench.workload import PARTITIONS
from tests.support.credit_stream import ENVIRONMENT


def stop_at(app: StreamApp, order: Order) -> None:
    """Measure an app of ours from its first batch until all events are committed."""
    meter = Meter()
    absorb = app.step.absorb

    async def absorb_measured(partition: int, batch: Batch) -> None:
        meter.begin()
        await absorb(partition, batch)

    app.step.absorb = absorb_measured  # type: ignore[method-assign]

    async def look() -> None:
        if sum(app.events_total.values()) >= order.events:
            await app.consumer.commit()
            meter.end(sum(app.events_total.values()))

    app.timer(0.02)(look)


def make_worker(order: Order) -> StreamApp:
    if order.work == "trivial":
        settings = StreamSettings(order.app_id, order.brokers, PARTITIONS)
        sources = [order.prefix + DB_CHANGES, order.prefix + CHAIN_EVENTS]
        return StreamApp(settings, sources, TABLES, TrivialWork, CLOCK)
    shipped = load_rules([RULES_FOLDER / "credit.yaml"], ENVIRONMENT)
    rules = [replace(one, rule=replace(one.rule, confirm_us=None)) for one in shipped]
    worker: WorkerApp = build_worker(
        Settings(
            kafka=order.brokers,
            topic_prefix=order.prefix,
            app_id=order.app_id,
            partitions=PARTITIONS,
            from_empty=True,
            worker_port=0,
        ),
        Reading(rules, build_codecs(rules, order.prefix)),
        CLOCK,
    )
    return worker


def end_when_ready(app: StreamApp) -> None:
    """Measure from the assignment until the app may read: the tables are recovered, the works are built."""
    meter = Meter()
    ready = app.on_rebalance_end

    async def begin(*_: Any, **__: Any) -> None:
        meter.begin()

    def end() -> None:
        ready()
        meter.end(sum(len(table.data.data) for table in app.batch_tables.values()))

    app.on_partitions_assigned.connect(begin)
    app.on_rebalance_end = end


def main() -> None:
    """Run the order in the first argument."""
    order = msgspec.json.decode(sys.argv[1], type=Order)
    configure_logging("WARNING", as_json=True)
    if order.kind == "bare":
        uvloop.run(run_bare(order))
    elif order.kind == "worker":
        app = make_worker(order)
        stop_at(app, order)
        run_app(app)
    elif order.kind == "recover":
        app = make_worker(order)
        end_when_ready(app)
        run_app(app)
    else:
        run_app(make_stock(order))


if __name__ == "__main__":
    main()

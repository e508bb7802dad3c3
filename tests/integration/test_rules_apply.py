"""`driftwatch rules apply` on a running worker: one version judges up to an instant, then the next one."""

from __future__ import annotations

from pathlib import Path

from app.clock import SystemClock
from app.native.supervisor import EXIT_REFUSED
from tests.support.commands import run_command
from tests.support.credit_stream import CreditStream
from tests.support.services import Services
from tests.support.waiting import eventually
from tests.support.worker import RULE_FILE, WorkerWorld

SECOND = 1_000_000


async def test_a_running_worker_takes_the_next_version_up_and_one_with_the_old_file_is_refused(
    services: Services, tmp_path: Path
) -> None:
    world = WorkerWorld(services.kafka, tmp_path)
    await world.make_topics()
    stream = CreditStream(keys=200, start_us=SystemClock().now_us() - 300 * SECOND, drift_every=6)
    await world.tell([*stream.birth(), *stream.ledgers(55, 10)])
    second = tmp_path / "second.yaml"
    text = RULE_FILE.read_text(encoding="utf-8").replace("version: 1", "version: 2", 1)
    second.write_text(text.replace("lag: 30s", "lag: 20s") + "\nconfirm: off\n", encoding="utf-8")
    environment = world.environment(0)

    async with world.worker() as worker:
        await world.until_caught_up()
        same = await run_command("rules", "apply", environment["DRIFTWATCH_RULES"], environment=environment)
        assert same.code == 2
        assert "it says what version 1 in force says" in same.err
        applied = await run_command("rules", "apply", str(second), "--in", "1s", environment=environment)
        assert applied.code == 0, applied.err
        assert "credit-line: version 2 judges from " in applied.out
        await world.tell(stream.ledgers(40, 10))

        async def has_taken_over() -> bool:
            found = await world.statuses()
            versions = [value["rule_version"] for key, value in found.items() if key.startswith("status|")]
            return versions == [2] * world.partitions

        await eventually(has_taken_over, 30, every=0.3)
        assert await worker.stop() == 0

    told = list((await world.mismatches()).values())
    opened = {one["episode"] for one in told if one["rule_version"] == 1 and one["transition"] == "opened"}
    closed = {one["episode"] for one in told if one["rule_version"] == 1 and one["transition"] == "resolved"}
    assert opened == closed
    assert "rule_changed" in {one["cause"] for one in told if one["rule_version"] == 1}
    assert [one for one in told if one["rule_version"] == 2]

    refused = await run_command("worker", environment=world.environment(0))
    assert refused.code == EXIT_REFUSED, refused.err
    assert "version 2" in refused.err.splitlines()[-1]
    assert "driftwatch rules apply" in refused.err.splitlines()[-1]
    async with world.worker(DRIFTWATCH_RULES=str(second)):
        await world.until_caught_up()

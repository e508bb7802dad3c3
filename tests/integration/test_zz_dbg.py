from tests.integration.test_worker_taking_up import *
from tests.support.services import *
async def test_dbg(services, tmp_path):
    world = WorkerWorld(services.kafka, tmp_path)
    await world.make_topics()
    stream = CreditStream(keys=60, partitions=world.partitions, drift_every=4)
    await world.tell([*stream.birth(), *stream.ledgers(30, 6)])
    async with world.worker():
        await world.until_caught_up()
        await eventually(lambda: has_open(world), 30)
    before = await open_now(world)
    told = len(await world.read(MISMATCHES))
    await delete_changelogs(world)
    stream.drift_every = 10**9
    async with world.worker() as running:
        await world.tell(stream.ledgers(40, 20))
        await world.until_caught_up()
        from app.clock import SystemClock
        await SystemClock().sleep(8)
        print("OPEN", len(before), len(await open_now(world)))
        print(running.log.read_text()[-3000:])
        print([ (k, v.get("state"), v.get("cause"), v.get("verified_through"), v.get("open"), v.get("keys"), v.get("watermarks")) for k,v in (await world.statuses()).items()])
        for r in (await world.read(MISMATCHES))[told:]:
            v=orjson.loads(r.value); print(v["key"][-3:],v["transition"],v["sequence"],v["cause"])

"""What runs took of CPU and memory: looked at, kept, made coarser, shown."""

from __future__ import annotations

import asyncio

from knify import metering
from knify.core import Core
from knify.sandbox import base, cgroups, fake, fakehost
from knify.services import metrics, packing, schedules
from knify.store import keys, samples
from knify.store.samples import Sample
from tests.api.parts import Api, Worker
from tests.projects import parts
from tests.projects.parts import PATH


async def container(driver: fake.FakeDriver) -> str:
    """A running one."""
    request = base.SandboxRequest("sandbox_1", "fake")
    name = await driver.create(request)
    await driver.attach(name)
    return name


def test_a_look_tells_what_was_taken_since_the_one_before(core: Core, worker: Worker) -> None:
    d = parts.definition(core, schedule=None)
    x = worker.claim(schedules.trigger(core, d, {}, id="run_a").id)
    now = [100.0]
    spent = [cgroups.Spent(0, 1), cgroups.Spent(5 * 10**9, 300), None, cgroups.Spent(10**9, 7)]

    def read(pid: int, name: str) -> cgroups.Spent | None:
        now[0] += 10
        return spent.pop(0)

    async def looks() -> list[list[Sample]]:
        driver = fake.FakeDriver(fakehost.FakeHost())
        turns = [(x, await container(driver))]
        meter = metering.Meter(driver, core.store.samples, read, lambda: now[0])
        return [await meter.look(turns) for _ in range(4)]

    first, second, gone, again = asyncio.run(looks())

    assert (first, gone, again) == ([], [], [])
    assert [(one.cpus, one.memory) for one in second] == [(0.5, 300)]


def test_points_become_coarser_and_end_with_the_run(api: Api, core: Core, worker: Worker) -> None:
    job = parts.made(api)
    run = api.post(f"{PATH}/{job['id']}/runs").get_json()["data"]["id"]
    x = worker.run(run)
    for n in range(samples.MOST + 1):
        core.store.samples.add([Sample(run, x.fence, n / 1000, 2 * n)])
    core.store.samples.add([Sample(run, x.fence - 1, 9.0, 9)])  # an owner that lost it

    ((texts, _),) = core.store.samples.of([run])
    worker.finish(x)
    core.store.samples.add([Sample(run, x.fence, 9.0, 9)])

    points = [samples.Point.parse(text) for text in texts]
    assert len(points) == samples.MOST // 2 + 1
    assert [(p.cpus, p.memory) for p in points[:2]] == [(0.0, 1), (0.002, 5)]
    assert core.store.samples.of([run]) == [(texts, False)]


def test_metrics_over_http_live_and_packed(api: Api, core: Core, worker: Worker) -> None:
    path = f"{PATH}/{parts.made(api)['id']}"
    runs = [api.post(f"{path}/runs").get_json()["data"]["id"] for _ in range(2)]
    xs = [worker.run(run) for run in runs]
    for x, cpus in zip(xs, (0.5, 1.5), strict=True):
        core.store.samples.add([Sample(x.id, x.fence, cpus, 100 * 1024**2)])

    live = api.get(f"{path}/metrics").get_json()
    for x in xs:
        worker.finish(x)
        assert packing.pack(core, x.id)
    packed = api.get(f"{path}/metrics").get_json()
    odd = api.get(f"{path}/metrics?names=memory_usage,disk&since=15m").get_json()["data"]

    assert live == packed and live["message"] == "Metrics"
    (cpu,), (memory,) = (live["data"][name]["data"] for name in metrics.NAMES)
    values = [float(value) for _, value in cpu["values"]]
    assert cpu["metric"] == {"name": "cpu_usage", "job_id": path.rpartition("/")[2]}
    assert values == [1.0] or values == [0.5, 1.5]  # within one step of ten seconds, or not
    assert sum(int(value) for _, value in memory["values"]) == 200 * 1024**2
    assert odd["memory_usage"]["status"] == "success"
    assert odd["disk"]["status"] == "error" and "cpu_usage" in odd["disk"]["error"]
    assert core.store.client.exists(*(keys.metrics(run) for run in runs)) == 0
    assert (
        api.get(f"{path}/metrics?start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z").status_code
        == 400
    )

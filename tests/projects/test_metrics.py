"""What runs took of CPU and memory: looked at, kept, made coarser, shown."""

from __future__ import annotations

import asyncio

import pytest

from knify import clock, metering, model
from knify.core import Core
from knify.sandbox import base, cgroups, fake, fakehost
from knify.services import metrics, packing, schedules
from knify.store import executionkeys, keys, samples
from knify.store.samples import Sample
from tests.api.parts import Api, Worker
from tests.projects import parts
from tests.projects.parts import PATH

NOON = clock.parse_rfc3339("2026-03-02T12:00:00Z")


async def container(driver: fake.FakeDriver) -> str:
    """A running one."""
    request = base.SandboxRequest("sandbox_1", "fake")
    name = await driver.create(request)
    await driver.attach(name)
    return name


class Kernel:
    """What it counts of a run that burns some cores of late; time stands still unless moved."""

    def __init__(self) -> None:
        self.now, self.cpu, self.memory = 100.0, 3 * 10**9, 0
        self.is_gone = False

    def burn(self, seconds: float, cores: float, memory: int) -> None:
        self.now += seconds
        self.cpu += int(seconds * cores * 10**9)
        self.memory = memory

    def read(self, pid: int, name: str) -> cgroups.Spent | None:
        return None if self.is_gone else cgroups.Spent(self.cpu, self.memory)


@pytest.fixture
def running(core: Core, worker: Worker) -> model.Execution:
    d = parts.definition(core, schedule=None)
    return worker.claim(schedules.trigger(core, d, {}, id="run_a").id)


def test_points_cover_a_run_from_its_first_second_to_its_end(
    core: Core, running: model.Execution
) -> None:
    kernel = Kernel()

    async def followed() -> list[Sample]:
        driver, found = fake.FakeDriver(fakehost.FakeHost()), []
        name = await container(driver)
        meter = metering.Meter(driver, core.store.samples, kernel.read, lambda: kernel.now)
        for second in range(28):
            found += await meter.look([(running, name)])
            kernel.burn(1, 0.1 if second < 5 else 1.0, 300)
        kernel.memory = 7
        return found + meter.last(running, name) + meter.last(running, name)

    first, second, last = asyncio.run(followed())

    assert [round(one.cpus, 3) for one in (first, second, last)] == [0.55, 1.0, 1.0]
    assert [one.memory for one in (first, second, last)] == [300] * 3


def test_what_is_gone_or_new_tells_nothing_yet(core: Core, running: model.Execution) -> None:
    kernel = Kernel()

    async def looks() -> list[list[Sample]]:
        driver, found = fake.FakeDriver(fakehost.FakeHost()), []
        turns = [(running, await container(driver))]
        meter = metering.Meter(driver, core.store.samples, kernel.read, lambda: kernel.now)
        for is_gone in (False, True, False, False):
            kernel.is_gone = is_gone
            found.append(await meter.look(turns))
            kernel.burn(10, 0.5, 300)
        kernel.now -= 9.9  # too short a time to be worth a point
        return [*found, meter.last(*turns[0])]

    new, gone, again, told, last = asyncio.run(looks())

    assert (new, gone, again, last) == ([], [], [], [])
    assert [(one.cpus, one.memory) for one in told] == [(0.5, 300)]


def test_a_series_weighs_points_by_the_time_that_they_are_of(
    core: Core, running: model.Execution
) -> None:
    began = NOON + 2_000
    points = ((began + 1_000, 100), (began + 11_000, 1_000), (began + 12_000, 0))
    for at, cpus in points:
        core.store.client.rpush(executionkeys.metrics(running.id), f"{at} {cpus} 1000")

    found = metrics.series(core, [running.evolve(started_at=began)], NOON, NOON + 60_000)

    burnt = {NOON: 1 * 0.1 + 7 * 1.0, NOON + 10_000: 3 * 1.0 + 1 * 0.0}
    assert found["cpu_usage"] == [
        (NOON, pytest.approx(burnt[NOON] / 8)),
        (NOON + 10_000, pytest.approx(burnt[NOON + 10_000] / 4)),
    ]
    assert found["memory_usage"] == [(NOON, 1000), (NOON + 10_000, 1000)]


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
    at = (core.store.registry.now_ms() // 10_000 - 6) * 10_000
    for x, cpus in zip(xs, (500, 1500), strict=True):
        core.store.client.hset(keys.execution(x.id), "started_at", at - 5_000)
        core.store.client.rpush(executionkeys.metrics(x.id), f"{at} {cpus} {100 * 1024**2}")

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
    assert values == [1.0]
    assert sum(int(value) for _, value in memory["values"]) == 200 * 1024**2
    assert odd["memory_usage"]["status"] == "success"
    assert odd["disk"]["status"] == "error" and "cpu_usage" in odd["disk"]["error"]
    assert core.store.client.exists(*(executionkeys.metrics(run) for run in runs)) == 0
    assert (
        api.get(f"{path}/metrics?start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z").status_code
        == 400
    )

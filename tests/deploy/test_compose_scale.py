"""docker-compose.yml under docker-compose: three workers, one killed; Flower; Prometheus."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knify.client import Client
from knify.host import podman
from tests.deploy import composed as composed_module
from tests.deploy.composed import DOCKER_COMPOSE, PROJECT, Composed
from tests.parts.stack import eventually

pytestmark = [pytest.mark.podman, pytest.mark.slow, pytest.mark.timeout(2_400)]

LINES = 60
TALK = f"for i in $(seq {LINES}); do echo line $i; sleep 0.3; done"
BROWSER = "/usr/bin/chromium"
OVERRIDE = "services:\n" + "".join(
    f"  {name}:\n    environment:\n      KNIFY_OBJECT_STORE: s3://knify\n"
    "      KNIFY_S3_ENDPOINT_URL: http://s3:8333\n"
    for name in ("api", "beat", "worker")
)


@pytest.fixture(scope="module")
def composed(images: tuple[str, str], conf: Path) -> Iterator[Composed]:
    """With S3, Flower and Prometheus; Grafana's image comes from no package."""
    if shutil.which("docker-compose") is None:
        pytest.skip("needs docker-compose (Debian's package)")
    parts = ("s3", "proxy", "api", "worker", "beat", "gateway", "redis", "flower", "prometheus")
    up = ("--scale", "worker=3", "--scale", "api=2", *parts)
    with composed_module.running(DOCKER_COMPOSE, images, conf, OVERRIDE, *up) as found:
        yield found


def ask(composed: Composed, path: str, **query: str) -> Any:
    """Prometheus's answer."""
    url = f"http://127.0.0.1:{composed.ports['prometheus_port']}/api/v1/{path}"
    with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(query)}", timeout=20) as answer:
        return json.load(answer)["data"]


def owners(composed: Composed, jobs: list[str]) -> list[str]:
    """The pids of the workers that follow them, '' for one that nobody does: all of one moment."""
    (redis,) = composed.containers("redis")
    password = "REDISCLI_AUTH=$(cat /run/secrets/redis_operator_password)"
    ask = f"{password} valkey-cli --user operator hget knify:x:$job owner"
    words = f"for job in {' '.join(jobs)}; do {ask}; done"
    told = [
        line.split("/") for line in podman.call("exec", redis, "sh", "-c", words).out.split("\n")
    ]
    return [parts[2] if len(parts) == 4 else "" for parts in told[: len(jobs)]]


def pid(name: str) -> str:
    return podman.call("inspect", name, "--format", "{{.State.Pid}}").out.strip()


def lines(client: Client, job: str) -> list[str]:
    return [event["line"] for event in client.output(job, raw=True)]


def test_the_readmes_job_runs_through_two_api_processes_and_three_workers(
    composed: Composed, tmp_path: Path
) -> None:
    folder = str(PROJECT / "examples" / "inspect-package")
    with composed.client():
        where = {
            "KNIFY_URL": f"http://127.0.0.1:{composed.ports['port']}",
            "KNIFY_API_KEY": composed.key(),
        }
        command = Path(sys.executable).with_name("knify")
        done = subprocess.run(
            [command, "run", "@runbook.md", "--workspace", folder],
            env=os.environ | where,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
        )

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.glob("knify-job_*/report.md"))) == 1
    assert len(composed.containers("worker")) == 3
    assert len(composed.containers("api")) == 2


def test_of_a_killed_workers_jobs_nothing_is_lost(composed: Composed) -> None:
    with composed.client() as client:
        spec = {"job_type": "command_task", "command": TALK}
        jobs = [client.create_job(spec).job_id for _ in range(4)]
        workers = {pid(name): name for name in composed.containers("worker")}
        followed = eventually(
            lambda: found if all(found := owners(composed, jobs)) else None, seconds=90
        )
        eventually(lambda: all(len(lines(client, job)) > 2 for job in jobs), seconds=90)
        victim = workers[followed[0]]
        podman.call("kill", "--signal", "KILL", victim, conf=composed.conf)
        ended = [client.wait(job, timeout=180) for job in jobs]
        said = [lines(client, job) for job in jobs]
        podman.call("start", victim, conf=composed.conf)

    assert [(job.status, job.error) for job in ended] == [("completed", None)] * 4
    assert said == [[f"line {i}" for i in range(1, LINES + 1)]] * 4


def test_flower_shows_three_workers_and_tasks_with_the_ids_of_jobs(composed: Composed) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    if not Path(BROWSER).exists():
        pytest.skip("needs chromium (Debian's package)")
    with composed.client() as client:
        job = client.create_job({"job_type": "command_task", "command": "true"}).job_id
        client.wait(job, timeout=120)
    login = {"username": "knify", "password": composed.secret("flower_password")}
    url = f"http://127.0.0.1:{composed.ports['flower_port']}"

    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_context(http_credentials=login).new_page()
        page.goto(url)
        page.get_by_text("Showing 1 to 3 of 3 workers").wait_for(timeout=60_000)
        page.goto(f"{url}/tasks")
        page.get_by_text(job).first.wait_for(timeout=60_000)
        browser.close()


def test_prometheus_scrapes_both_processes_and_answers_every_query_of_the_dashboards(
    composed: Composed,
) -> None:
    boards = (PROJECT / "deploy" / "grafana" / "dashboards").glob("*.json")
    panels = [panel for board in boards for panel in json.loads(board.read_text())["panels"]]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    with composed.client() as client:
        job = client.create_job({"job_type": "command_task", "command": "true"}).job_id
        client.wait(job, timeout=120)

    def up() -> bool:
        time.sleep(0.5)
        found = [
            t for t in ask(composed, "targets")["activeTargets"] if t["labels"]["job"] == "knify"
        ]
        return [t["health"] for t in found] == ["up"] * 2

    def empty() -> list[str]:
        time.sleep(1)
        return [q for q in queries if not ask(composed, "query", query=q)["result"]]

    eventually(up, seconds=90)
    eventually(lambda: not empty(), seconds=150)  # rates need several scrapes
    assert len(queries) > 50
    groups = ask(composed, "rules")["groups"]
    assert {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}


def test_redis_is_bounded_and_the_workers_home_outlives_their_containers(
    composed: Composed,
) -> None:
    def seen() -> list[list[int]]:
        """How far the node saw Redis count, as each of its workers reads it."""
        names = composed.containers("worker")
        read = [podman.call("exec", name, "cat", "/srv/node/store.seen") for name in names]
        return [json.loads(one.out) for one in read if one.ok]

    with composed.client():
        bound = ask(composed, "query", query="max(knify_redis_memory_limit_bytes)")["result"]
        before = eventually(lambda: seen() if len(seen()) == 3 else None, seconds=60)
        marks = podman.call("exec", composed.containers("worker")[0], "ls", "/srv/node").out
        recreate = ("up", "-d", "--force-recreate", "--no-deps", "--scale", "worker=3")
        composed.call(*recreate, "worker")
        after = eventually(lambda: seen() if len(seen()) == 3 else None, seconds=120)

    assert float(bound[0]["value"][1]) > 0
    assert marks.count(".alive") == 3  # each container's health is its own
    assert min(after) >= max(before)

"""`knify schedules …` and the SDK against the real API and a worker that ends all at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click.testing
import pytest

from knify.cli import main
from knify.client import Client, errors
from tests.client import autopilot


@pytest.fixture
def served(redis_url: str, home: Path) -> Iterator[tuple[str, str]]:
    """Its URL and a key."""
    with (
        autopilot.connected(redis_url, home) as core,
        autopilot.serving(core) as there,
        autopilot.working(core),
    ):
        yield there


def test_a_job_is_defined_run_paused_and_deleted(served: tuple[str, str]) -> None:
    env = {"KNIFY_URL": served[0], "KNIFY_API_KEY": served[1], "KNIFY_PROJECT": "ops"}
    runner = click.testing.CliRunner(env=env)

    def knify(*words: str) -> click.testing.Result:
        return runner.invoke(main.cli, ["schedules", *words])

    made = knify(
        "create", "nightly", "echo $A", "--cron", "30 4 * * 1-5", "--env", "A=1", "--tag", "x"
    )
    job = re.findall(r"jobdef_\w{26}", made.stdout)[0]
    assert "At 04:30, Monday through Friday" in made.stdout
    assert (
        job in knify("list", "--tag", "x").stdout and job not in knify("list", "--tag", "y").stdout
    )
    run = knify("trigger", job, "--args", "'one two' three").stdout.strip()
    assert run.startswith("run_") and run in knify("runs", job).stdout
    assert "nightly" in knify("show", job).stdout
    assert knify("logs", job, run, "--since", "15m").exit_code == 0
    assert isinstance(json.loads(knify("logs", job, "--json").stdout), list)
    assert knify("pause", job).stdout == f"{job} is paused\n"
    assert " off " in knify("list").stdout
    assert knify("resume", job).stdout == f"{job} is resumed\n"
    assert knify("delete", job, "--yes").stdout == f"{job} is gone\n"
    assert knify("show", job).exit_code == 6
    refused = knify("create", "x", "true", "--cron", "@reboot")
    assert refused.exit_code == 6 and "nothing is due at a reboot" in refused.stderr
    assert "--env wants NAME=VALUE, not 'A'" in knify("trigger", job, "--env", "A").stderr


def test_a_job_is_defined_and_changed_with_all_that_a_run_may_have(
    served: tuple[str, str],
) -> None:
    env = {"KNIFY_URL": served[0], "KNIFY_API_KEY": served[1]}
    runner = click.testing.CliRunner(env=env)

    def knify(*words: str) -> click.testing.Result:
        return runner.invoke(main.cli, ["schedules", *words])

    def spec() -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(knify("show", "n", "--json").stdout)
        return shown["spec"]

    runner.invoke(main.cli, ["secrets", "set", "github"], "ghp_0123456789abcdef")
    made = knify(
        "create", "n", "date", "--timeout", "90s", "--memory", "512M", "--cpus", "0.5",
        "--allow", "pypi.org", "--secret", "TOKEN=vault:github", "--type", "command_task",
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    secrets = [{"name": "TOKEN", "source": "vault", "key": "github"}]
    first = {
        "job_type": "command_task", "command": "date", "timeout": "90s", "memory": "512M",
        "cpus": 0.5, "network_mode": "outbound", "allowed_hosts": ["pypi.org"], "secrets": secrets,
    }  # fmt: skip
    assert spec() == first

    assert knify("change", "n", "--memory", "1G", "--cron", "0 4 * * *").exit_code == 0
    assert spec() == first | {"memory": "1G"}
    assert knify("change", "n", "--hang-timeout", "5m", "--unset", "secret").exit_code == 0
    del first["secrets"]
    assert spec() == first | {"memory": "1G", "hang_timeout": "5m"}
    assert knify("change", "n", "ls", "-l", "--unset", "cron").exit_code == 0
    assert spec()["command"] == ["ls", "-l"]
    assert json.loads(knify("show", "n", "--json").stdout)["schedule"] is None
    assert knify("change", "n", "--name", "m", "--retries", "2").stdout == "n is changed\n"
    refused = knify("change", "m", "--memory", "1X")
    assert refused.exit_code == 6 and "option: --memory" in refused.stderr


def test_the_sdk_speaks_of_projects(served: tuple[str, str]) -> None:
    with Client(*served) as client:
        body = {"name": "n", "spec": {"job_type": "command_task", "command": "true"}}
        job = client.create_project_job("ops", body, idempotency_key="k")
        again = client.create_project_job("ops", body, idempotency_key="k")
        changed = client.change_project_job("ops", job.id, {"schedule": "0 4 * * *"})
        run = client.trigger_run("ops", job.id, env={"A": "1"}, command=["echo"], args=["x"])
        shown = client.run_of("ops", job.id, run.id)
        status = client.project_job_status("ops", job.id)
        metrics = client.run_metrics("ops", job.id, names=["cpu_usage"])

        assert again.id == job.id and job.spec == body["spec"]
        assert changed.schedule == "0 4 * * *" and len(changed.next_runs or ()) == 5
        assert (shown.id, shown.trigger, shown.job_id) == (run.id, "manual", job.id)
        assert status["counts"]["total"] == 1
        assert metrics["cpu_usage"]["status"] == "success"
        assert [one.id for one in client.runs("ops", job.id)] == [run.id]
        assert client.run_logs("ops", job.id, run.id, limit=5) is not None
        assert [p["id"] for p in client.projects()] == ["ops"]
        client.wait(run.id)
        with pytest.raises(errors.Conflict):
            client.cancel_run("ops", job.id, run.id)
        client.delete_project_job("ops", job.id)
        assert client.project_jobs("ops") == []

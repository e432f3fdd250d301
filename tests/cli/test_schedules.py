"""`knify schedules` against a scripted server: names, tenants, commands with options."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.client import scripted

JOBS = "/v1/workspaces/-/projects/default/jobs"
ID = "jobdef_01jb2k3m4n5p6q7r8s9t0v1w2x"
JOB = {"id": ID, "name": "nightly"}
RUN = {"id": "run_1", "status": "pending"}


@pytest.mark.parametrize("named", ["nightly", ID])
def test_a_job_is_known_by_its_name_in_the_keys_own_tenant(
    server: scripted.Server, knify: Run, named: str
) -> None:
    server.on("GET", JOBS, {"data": [JOB]})
    server.on("POST", f"{JOBS}/{ID}/runs", {"data": RUN}, 201)
    server.on("GET", f"{JOBS}/{ID}/runs", {"data": [RUN]})

    done = knify("schedules", "trigger", named)

    assert done.stdout == "run_1\n", done.output
    assert "run_1" in knify("schedules", "runs", named).stdout
    asked = [one.query for one in server.seen("GET", JOBS)]
    assert asked == ([{"name": "nightly"}] * 2 if named == "nightly" else [])


def test_a_name_that_nobody_has_says_where_they_stand(server: scripted.Server, knify: Run) -> None:
    server.on("GET", JOBS, {"data": []})

    done = knify("schedules", "pause", "nightly")

    assert done.exit_code == 6
    assert "no job nightly in project default: see `knify schedules list`" in done.stderr


def test_another_tenant_is_asked_for_by_its_name(server: scripted.Server, knify: Run) -> None:
    server.on("GET", JOBS.replace("/-/", "/team/"), {"data": [JOB]})

    assert "nightly" in knify("schedules", "list", "--workspace", "team").stdout
    assert "nightly" in knify("schedules", "list", KNIFY_WORKSPACE="team").stdout


def test_options_behind_the_command_are_the_commands(server: scripted.Server, knify: Run) -> None:
    server.on("POST", JOBS, {"data": JOB}, 201)

    done = knify("schedules", "create", "n", "ls", "-l", "--all", "--cron", "0 4 * * *")

    assert done.exit_code == 0, done.output
    body = server.requests[-1].json()
    assert (body["command"], body["schedule"]) == (["ls", "-l", "--all"], "0 4 * * *")


def test_a_slip_in_an_option_is_no_part_of_the_command(server: scripted.Server, knify: Run) -> None:
    server.on("POST", JOBS, {"data": JOB}, 201)

    slip = knify("schedules", "create", "n", "date", "--corn", "0 4 * * *")
    meant = knify("schedules", "create", "n", "--", "date", "--corn", "x")

    assert slip.exit_code == 2 and "did you mean --cron?" in slip.stderr
    assert meant.exit_code == 0 and server.requests[-1].json()["command"] == ["date", "--corn", "x"]


def test_what_is_shown_stands_in_one_column(server: scripted.Server, knify: Run) -> None:
    runs = ["2026-01-31T04:30:00+00:00", "2026-02-01T04:30:00+00:00"]
    server.on("GET", f"{JOBS}/{ID}", {"data": JOB | {"next_runs": runs}})
    server.on("GET", f"{JOBS}/{ID}/status", {"data": {"counts": {"succeeded": 2, "failed": 0}}})

    lines = knify("schedules", "show", ID).stdout.splitlines()

    values = (ID, "nightly", "2 succeeded", *runs)
    assert {line.index(value) for line, value in zip(lines, values, strict=True)} == {11}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--secret", "TOKEN=ghp_abc"), "--secret TOKEN: a secret is named, never written"),
        (("--env", "A"), "--env wants NAME=VALUE, not 'A'"),
        (("--network", "none"), "Invalid value for '--network'"),
        (("--max-tokens", "0"), "Invalid value for '--max-tokens'"),
        (("--retries", "11"), "Invalid value for '--retries'"),
        (("--type", "claude"), "Invalid value for '--type'"),
        (("--memry", "1G"), "did you mean --memory?"),
    ],
)
def test_what_is_wrong_names_its_option(
    server: scripted.Server, knify: Run, words: tuple[str, ...], why: str
) -> None:
    done = knify("schedules", "create", "n", "date", *words)

    assert done.exit_code == 2 and why in done.stderr, done.stderr
    assert "ghp_abc" not in done.stderr and server.requests == []


def test_an_agents_prompt_is_one_argument_or_a_file(
    server: scripted.Server, knify: Run, here: Path
) -> None:
    server.on("POST", JOBS, {"data": JOB}, 201)
    (here / "plan.md").write_text("Tidy up.")

    agent = ("--type", "claude_task", "--max-tokens", "5000", "--max-cost-usd", "1.5")
    done = knify("schedules", "create", "n", "@plan.md", *agent)
    two = knify("schedules", "create", "n", "tidy", "up", "--type", "claude_task")

    assert done.exit_code == 0, done.output
    assert server.requests[-1].json()["spec"] == {
        "job_type": "claude_task", "prompt": "Tidy up.", "max_tokens": 5000, "max_cost_usd": 1.5
    }  # fmt: skip
    assert two.exit_code == 2 and "quote it" in two.stderr


def test_a_change_says_something_that_is_known(server: scripted.Server, knify: Run) -> None:
    nothing = knify("schedules", "change", ID)
    unknown = knify("schedules", "change", ID, "--unset", "memry")
    alone = knify("schedules", "change", ID, "--type", "claude_task")

    assert "there is nothing to change" in nothing.stderr
    assert "--unset: no option memry: did you mean memory?" in unknown.stderr
    assert "--type: say what it is to do, too" in alone.stderr
    assert {nothing.exit_code, unknown.exit_code, alone.exit_code} == {2}

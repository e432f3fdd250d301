"""The form of a new job: what it sends, what it says of mistakes, and that it is sent once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.console import jobform
from knify import kinds
from tests.api.parts import Api
from tests.console.parts import Pages


def newest(api: Api) -> dict[str, Any]:
    return dict(api.get("/jobs?limit=1").get_json()["data"][0])


def test_a_command_becomes_a_job(pages: Pages, api: Api) -> None:
    sent = pages.post("/jobs/new", job_type="command_task", command="make test", name="Tests")

    job = newest(api)
    assert sent.headers["Location"] == f"/console/jobs/{job['id']}"
    assert (job["name"], job["spec"]) == (
        "Tests", {"job_type": "command_task", "command": "make test"}
    )  # fmt: skip


def test_texts_become_what_the_fields_take(pages: Pages, api: Api) -> None:
    pages.post(
        "/jobs/new", job_type="command_task", command="a\r\nb", env="A=1\nB=x=y\n",
        metadata="team=infra\nn=3\nok=true", artifact_patterns="*.py\n\nout/**", cpus="1.5",
        memory="512M", timeout="10m", priority="3",
    )  # fmt: skip

    assert newest(api)["spec"] == {
        "job_type": "command_task", "command": "a\nb", "env": {"A": "1", "B": "x=y"},
        "metadata": {"team": "infra", "n": 3, "ok": True}, "artifact_patterns": ["*.py", "out/**"],
        "cpus": 1.5, "memory": "512M", "timeout": "10m", "priority": 3,
    }  # fmt: skip


def test_fields_of_other_types_are_left_out(pages: Pages, api: Api) -> None:
    pages.post(
        "/jobs/new", job_type="command_task", command="true", prompt="typed before", model="x"
    )

    assert set(newest(api)["spec"]) == {"job_type", "command"}


@pytest.mark.parametrize(
    ("form", "field", "words"),
    [
        ({"job_type": "command_task"}, "command", "command"),
        ({"job_type": "command_task", "command": "x", "memory": "lots"}, "memory", "512M"),
        ({"job_type": "command_task", "command": "x", "cpus": "many"}, "cpus", "number"),
        ({"job_type": "command_task", "command": "x", "priority": "99"}, "priority", "10"),
        ({"job_type": "command_task", "command": "x", "name": "n" * 201}, "name", "200"),
        ({"job_type": "command_task", "command": "x", "workspace_path": "/workspaces/none"},
         "workspace_path", "No workspace"),
        ({"job_type": "command_task", "command": "x", "secrets": "A"}, "secrets", "Source"),
        ({"job_type": "user_exam", "user_id": "u"}, "time_range", "time_range"),
    ],
)  # fmt: skip
def test_a_mistake_is_said_at_its_field_and_nothing_typed_is_lost(
    pages: Pages, form: dict[str, str], field: str, words: str
) -> None:
    answer = pages.post("/jobs/new", env="KEPT=1", **form)

    assert answer.status_code == 400
    problem = answer.text.split(f'id="{"from" if field == "time_range" else field}-problem">')[1]
    assert words in problem.split("</p>")[0]
    assert "KEPT=1" in answer.text


def test_sent_twice_it_is_one_job(pages: Pages, api: Api) -> None:
    form = {"job_type": "command_task", "command": "true", "once": "f" * 32}

    first, again = (pages.post("/jobs/new", **form).headers["Location"] for _ in range(2))
    other = pages.post("/jobs/new", **{**form, "command": "false"}).headers["Location"]

    assert first == again != other
    assert len(api.get("/jobs").get_json()) == 2


def test_a_job_is_run_again_as_it_was(pages: Pages, api: Api) -> None:
    spec = {
        "command": ["echo", "a b"], "env": {"A": "1"}, "metadata": {"n": 3, "team": "x"},
        "artifact_patterns": ["*.py"], "network_mode": "outbound", "allowed_hosts": ["pypi.org"],
    }  # fmt: skip
    job = api.submit(**spec)

    form = pages.text(f"/jobs/new?from={job}")

    for text in ("echo &#39;a b&#39;", "A=1", "team=x", "*.py", "pypi.org"):
        assert text in form


def test_another_tenants_job_is_no_model(foreigner: Pages, api: Api) -> None:
    job = api.submit()

    assert foreigner.get(f"/jobs/new?from={job}").status_code == 404


def test_who_may_only_read_gets_no_form(reader: Pages) -> None:
    assert reader.get("/jobs/new").status_code == 403
    assert "/console/jobs/new" not in reader.text("/jobs")


def test_the_form_has_every_field_that_a_job_may_have() -> None:
    asked = {field.name for field in jobform.FIELDS} | {"job_type", "workspace_path", "time_range"}

    assert asked == set().union(*(kind.known for kind in kinds.JOB_TYPES.values()))


@pytest.mark.parametrize("value", ['{"mcpServers": {}}', "not json"])
def test_what_is_no_json_is_left_to_the_apis_own_words(value: str) -> None:
    spec = jobform.spec_of({"job_type": "claude_task", "prompt": "x", "mcp_config": value})

    try:
        assert spec["mcp_config"] == json.loads(value)
    except ValueError:
        assert spec["mcp_config"] == value


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999", "[" * 3_000])
def test_what_is_no_number_of_json_stays_a_text(text: str) -> None:
    spec = jobform.spec_of(
        {"job_type": "claude_task", "metadata": f"a={text}", "mcp_config": f'{{"a": {text}}}'}
    )

    assert spec["metadata"] == {"a": text}
    assert isinstance(spec["mcp_config"], str)

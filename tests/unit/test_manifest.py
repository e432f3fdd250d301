from __future__ import annotations

import json
import timeit
from typing import Any

import pytest

from knify import errors, manifest, manifestkeys, spec, yamltext
from tests import factories
from tests.parts.manifests import BUG_FIX


def small(**fields: Any) -> dict[str, Any]:
    agent = {"type": "command", "command": "true"}
    head = {"version": "1", "kind": "Task", "metadata": {"name": "x"}}
    return head | {"agent": agent} | fields


def complaints(written: Any) -> dict[str, str]:
    with pytest.raises(errors.InvalidManifest) as refused:
        manifest.read(written)
    detail: Any = refused.value.detail
    problems = detail.get("problems", [{"field": detail["field"], "message": ""}])
    found = {problem["field"]: problem["message"] for problem in problems}
    assert refused.value.message.startswith(detail["field"])
    return found | ({} if len(found) > 1 else {detail["field"]: refused.value.message})


def test_the_defaults_are_those_of_the_reference() -> None:
    found = manifest.read(yamltext.read(BUG_FIX))

    request = found.request
    assert request["profile"] == "agentic-dev"
    assert request["model"] == "claude-sonnet-4-5-20250929"
    assert (request["timeout"], request["failure_action"]) == ("24h", "destroy")
    assert manifest.read(small()).request["network_mode"] == "isolated"
    assert (found.name, found.task_id) == ("Fix bug #42", None)


def test_resources_that_are_not_written_are_no_part_of_the_request() -> None:
    found = manifest.read(small(vm={"cpus": 16, "disk": "100G"})).request

    assert (found["cpus"], found["disk"], "memory" in found) == (16, "100G", False)


def test_a_manifest_is_the_same_in_yaml_and_in_json() -> None:
    written = yamltext.read(BUG_FIX)

    assert manifest.read(json.loads(json.dumps(written))) == manifest.read(written)


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"lifecyle": {}}, "lifecyle", "did you mean lifecycle?"),
        ({"vm": {"cpu": 2}}, "vm.cpu", "did you mean vm.cpus?"),
        ({"vm": {"networkMode": "full"}}, "vm.networkMode", "did you mean vm.network_mode?"),
        ({"timeout": "1h"}, "timeout", "did you mean lifecycle.timeout?"),
        ({"vm": {"xyzzy": 1}}, "vm.xyzzy", "known are"),
        ({"version": 1}, "version", "in quotes"),
        ({"kind": "Job"}, "kind", 'must be "Task"'),
        ({"vm": {"memory": 1.5}}, "vm.memory", "must be text or a whole number"),
        ({"vm": {"network_mode": "open"}}, "vm.network_mode", "isolated, outbound, full"),
        ({"vm": None}, "vm", "is empty"),
        ({"agent": {"type": "agent"}}, "agent.type", "must be one of cursor"),
        ({"agent": {"prompt": "x"}}, "agent.type", "is missing"),
        ({"claude": {"prompt": "x"}}, "claude", "give claude or agent"),
        ({"lifecycle": {"failure_action": "keep"}}, "lifecycle.failure_action", "destroy, preserv"),
        ({"secrets": [{"name": "A", "value": "b"}]}, "secrets.0.value", "never embedded"),
        ({"secrets": [{"name": "A", "source": "env"}]}, "secrets.0.key", "is missing"),
        ({"secrets": ["A"]}, "secrets", "must hold objects only"),
        ({"metadata": {"name": "x", "id": "../x"}}, "metadata.id", "1 to 128 letters"),
        ({"metadata": {"name": "x", "id": "x" * 129}}, "metadata.id", "1 to 128 letters"),
        ({"metadata": {"name": "x", "id": "stream"}}, "metadata.id", "choose another"),
        ({"metadata": {"name": "a\nb"}}, "metadata.name", "without line breaks"),
        ({"metadata": {}}, "metadata.name", "is missing"),
        ({"metadata": {"name": "x", "labels": {"a": []}}}, "metadata.labels.a", "must be text"),
        ({"repository": {"branch": "main"}}, "repository.url", "is missing"),
        ({"repository": {"url": "https://h/x", "commit": 123}}, "repository.commit", "in quotes"),
    ],
)
def test_what_is_wrong_is_named_with_its_cure(
    fields: dict[str, Any], field: str, words: str
) -> None:
    assert words in complaints(small(**fields))[field]


def test_claude_needs_a_repository_and_other_agents_do_not() -> None:
    written = small(claude={"prompt": "x"})
    del written["agent"]

    assert "is missing" in complaints(written)["repository"]
    assert manifest.read(small(agent={"type": "claude", "prompt": "x"})).request["job_type"] == (
        "claude_task"
    )


def test_all_mistakes_are_told_at_once_and_not_more_than_twenty() -> None:
    found = complaints(small(vm={"cpu": 1, "memroy": "8G"}, lifecycle={"timout": "1h"}))
    many = complaints(small(vm={f"x{n}": n for n in range(1000)}))

    assert set(found) == {"vm.cpu", "vm.memroy", "lifecycle.timout"}
    assert len(many) == manifestkeys.MAX_PROBLEMS


def test_the_definition_of_a_task_is_a_manifest_again() -> None:
    found = manifest.read(yamltext.read(BUG_FIX))

    x = factories.execution(request=found.request, name=found.name, task_id="fix-42")

    shown = manifest.definition(x)

    assert shown["metadata"] == {"id": "fix-42", "name": "Fix bug #42"}
    assert shown["secrets"] == [{"name": "GITHUB_TOKEN", "source": "env", "key": "GITHUB_TOKEN"}]
    assert shown["claude"]["headless"] is True
    assert shown["vm"] == {
        "profile": "agentic-dev", "cpus": 2, "memory": "2G", "disk": "10G",
        "network_mode": "outbound", "allowed_hosts": ["api.github.com"],
    }  # fmt: skip
    again = manifest.read(shown)
    given = {"cpus": 2, "memory": "2G", "disk": "10G"}
    assert (again.request, again.task_id) == (found.request | given, "fix-42")


def test_every_field_of_a_request_has_a_place_in_the_manifest() -> None:
    request = manifest.read(small()).request

    assert manifest.place(request, "spec.memory") == "vm.memory"
    assert manifest.place(request, "spec.allowed_hosts.0") == "vm.allowed_hosts.0"
    assert manifest.place(request, "spec.command") == "agent.command"
    assert manifest.place(request, "spec.metadata") == "metadata.labels"
    assert manifest.place(request, "spec.secrets.0.name") == "secrets.0.name"


def test_every_agent_is_a_job_type_whose_fields_agents_have() -> None:
    for agent in manifestkeys.AGENTS:
        known = spec.JOB_TYPES[f"{agent}_task"]
        assert known.required <= set(manifestkeys.SECTIONS["agent"])


def test_a_manifest_is_read_in_less_than_two_milliseconds() -> None:
    # The shortest of many: whatever else this machine does, one of them is left alone.
    times = timeit.repeat(lambda: manifest.read(yamltext.read(BUG_FIX)), number=1, repeat=200)

    assert min(times) < 0.002

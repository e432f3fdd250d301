"""Jobs for agents: what is refused when, and what is shown of their conversations."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from knify import errors, model
from knify.core import Core
from knify.services import images as images_module
from tests.api.parts import COMMAND, CURSOR, Api, Worker


def _node(core: Core, *agents: str, **facts: Any) -> None:
    core.store.registry.heartbeat("n", {"agents": list(agents), "images": []} | facts)
    core.store.registry._recent = (float("-inf"), {})  # as if two seconds had passed


def test_an_agent_that_can_sign_in_nowhere_is_refused_with_the_setting(
    api: Api, core: Core
) -> None:
    _node(core)

    answer = api.post("/jobs", {"spec": CURSOR})

    assert (answer.status_code, answer.get_json()["code"]) == (400, "AGENT_NOT_CONFIGURED")
    assert answer.get_json()["detail"] == {"field": "spec.job_type", "setting": "CURSOR_API_KEY"}
    assert "CURSOR_API_KEY" in answer.get_json()["error"]
    assert api.get("/jobs").get_json() == []


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        ("claude_task", "ANTHROPIC_API_KEY"),
        ("gemini_task", "GEMINI_API_KEY"),
        ("codex_task", "OPENAI_API_KEY"),
    ],
)
def test_an_agent_whose_models_no_gateway_can_ask_is_refused_with_the_setting(
    api: Api, core: Core, kind: str, setting: str
) -> None:
    wanted = {"job_type": kind, "prompt": "Go", "system_prompt": "Be brief", "max_tokens": 1000}
    _node(core)

    refused = api.post("/jobs", {"spec": wanted})
    _node(core, kind)
    taken = api.post("/jobs", {"spec": wanted})

    assert refused.get_json()["detail"] == {"field": "spec.job_type", "setting": setting}
    assert taken.status_code == 200
    spec = core.store.executions.get(taken.get_json()["job_id"], tenant="default").spec
    assert (spec.model, spec.system_prompt, spec.max_tokens) == (None, "Be brief", 1000)


def test_one_node_that_can_is_enough_and_without_any_the_job_waits(api: Api, core: Core) -> None:
    assert api.post("/jobs", {"spec": CURSOR}).status_code == 200

    _node(core)
    core.store.registry.heartbeat("m", {"agents": ["cursor_task"]})

    assert api.post("/jobs", {"spec": CURSOR}).status_code == 200


def test_what_is_wrong_with_the_request_is_said_before_what_is_missing_here(
    api: Api, core: Core
) -> None:
    _node(core)

    for wrong in ({"model": "none"}, {"workspace_path": "/workspaces/none"}, {"command": "x"}):
        answer = api.post("/jobs", {"spec": CURSOR | wrong})
        assert (answer.status_code, answer.get_json()["code"]) == (400, "BAD_REQUEST"), wrong
    answer = api.post("/jobs", {"spec": CURSOR | {"image": "localhost/none"}})
    assert answer.get_json()["code"] == "AGENT_NOT_CONFIGURED"
    _node(core, "cursor_task")
    answer = api.post("/jobs", {"spec": CURSOR | {"image": "localhost/none"}})
    assert answer.get_json()["code"] == "IMAGE_MISSING"


def test_a_continuation_needs_the_credential_too(api: Api, core: Core, worker: Worker) -> None:
    first = api.submit()
    _node(core)

    answer = api.post(f"/jobs/{first}/continue", {"spec": CURSOR})

    assert answer.get_json()["code"] == "AGENT_NOT_CONFIGURED"


def _begun(core: Core, job_id: str, session: str) -> None:
    """As if its agent had told its conversation."""
    key = f"knify:x:{job_id}"
    core.store.client.hset(key, mapping={"session_id": session, "usage": '{"input_tokens":5}'})


def test_a_continuation_goes_on_with_the_conversation_of_the_same_agent(
    api: Api, core: Core
) -> None:
    first = api.post("/jobs", {"spec": CURSOR}).get_json()["job_id"]
    _begun(core, first, "c1")

    shown = api.get(f"/jobs/{first}").get_json()
    second = api.post(f"/jobs/{first}/continue", {"spec": CURSOR}).get_json()
    other = api.post(f"/jobs/{first}/continue", {"spec": COMMAND}).get_json()
    third = api.post(f"/jobs/{other['job_id']}/continue", {"spec": CURSOR}).get_json()
    named = api.post(f"/jobs/{first}/continue", {"spec": CURSOR | {"session_id": "c2"}}).get_json()

    assert (shown["cursor_session_id"], shown["usage"]) == ("c1", {"input_tokens": 5})
    assert second["cursor_session_id"] == "c1"
    assert other["cursor_session_id"] is None
    assert third["cursor_session_id"] == "c1"
    assert named["cursor_session_id"] == "c2"


def test_a_session_named_for_a_first_job_is_shown(api: Api) -> None:
    job = api.post("/jobs", {"spec": CURSOR | {"session_id": "session_123"}}).get_json()["job_id"]

    assert api.get(f"/jobs/{job}").get_json()["cursor_session_id"] == "session_123"


@pytest.mark.parametrize("said", [None, model.Said("c1", "hi", ("a", "b"), usage={"n": 1})])
def test_what_an_agent_told_is_stored_with_its_output_at_once(
    api: Api, core: Core, worker: Worker, said: model.Said | None
) -> None:
    job = api.post("/jobs", {"spec": CURSOR}).get_json()["job_id"]
    x = worker.run(job)

    stored = core.store.executions.append(x, [], lines=0, out=3, err=0, said=said)

    found = core.store.executions.find(job)
    assert found is not None
    assert (found.said, found.out_bytes) == (said, 3)
    assert found.session_id == stored.session_id == (said and said.session_id)


@pytest.mark.parametrize(
    ("images", "configured", "chosen"),
    [
        (["localhost/knify/base:latest"], None, None),
        (["localhost/knify/agents:latest"], None, "localhost/knify/agents:latest"),
        (
            ["localhost/knify/agents:latest", "localhost/own:1"],
            "localhost/own:1",
            "localhost/own:1",
        ),
    ],
)
def test_agents_get_their_own_image_where_a_node_has_it(
    core: Core, images: list[str], configured: str | None, chosen: str | None
) -> None:
    _node(core, "cursor_task", images=images)

    assert _chosen(core, configured) == chosen


def test_an_image_that_the_operator_named_for_agents_must_be_somewhere(core: Core) -> None:
    _node(core, "cursor_task", images=["localhost/knify/agents:latest"])

    with pytest.raises(errors.ImageMissing, match="localhost/own:latest; load it there"):
        _chosen(core, "localhost/own")


def _chosen(core: Core, configured: str | None) -> str | None:
    own = dataclasses.replace(core.settings, agents_image=configured)
    wanted = model.ExecutionSpec(job_type="cursor_task", prompt="x")
    return images_module.choose(dataclasses.replace(core, settings=own), wanted)

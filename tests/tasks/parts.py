"""Manifests, and the few requests that most tests make."""

from __future__ import annotations

from typing import Any

from tests.api.parts import MANIFEST, Api

TASKS = "/api/v1/tasks"


def manifest(**fields: Any) -> dict[str, Any]:
    """A command; `id`, `name` and `labels` go to its metadata."""
    own = {key: fields.pop(key) for key in ("id", "name", "labels") if key in fields}
    return MANIFEST | {"metadata": {"name": "Hello"} | own} | fields


def submit(api: Api, **fields: Any) -> str:
    """The id of a new task."""
    answer = api.post(TASKS, manifest(**fields))
    assert answer.status_code == 202, answer.text
    return str(answer.get_json()["task_id"])


def show(api: Api, task_id: str) -> dict[str, Any]:
    """One task."""
    answer = api.get(f"{TASKS}/{task_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def execution(api: Api, task_id: str) -> str:
    """What a worker calls it."""
    return str(show(api, task_id)["execution_id"])

"""Tasks: submit manifests, show, list, cancel; what they say and what they leave."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from knify.client import answers, records, taskrecords
from knify.client.calls import base
from knify.client.calls.base import Call

_ROOT = ("api", "v1", "tasks")


def submit_task(
    manifest: Mapping[str, Any] | str, idempotency_key: str | None = None
) -> Call[taskrecords.TaskSubmitted]:
    """Submit a manifest: a mapping, or its text in YAML (or JSON, which is YAML, too).

    Without a key of your own, one is made for this call's retries.
    """
    is_text = isinstance(manifest, str)
    content = (manifest if isinstance(manifest, str) else json.dumps(dict(manifest))).encode()
    headers = {
        base.IDEMPOTENCY_KEY: idempotency_key or base.new_key(),
        "Content-Type": "application/yaml" if is_text else "application/json",
    }
    parse = answers.one(taskrecords.TaskSubmitted)
    return Call("POST", _path(), parse, content=content, headers=headers)


def task(task_id: str) -> Call[taskrecords.Task]:
    """A task as it is now, by its own id or its execution's."""
    return base.get(_path(task_id), answers.one(taskrecords.Task))


def tasks(
    *,
    state: str | Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    parent: str | None = None,
    limit: int | None = None,
    offset: int | None = None,
    sort: str | None = None,
    order: str | None = None,
) -> Call[taskrecords.TaskPage]:
    """Tasks, newest first: 100, or one page of `limit` (at most 1,000) behind `offset` others.

    `state` is one word or several, `parent` the task whose children are asked for. `sort`:
    created_at, started_at, state_changed_at or name; `order`: desc or asc.
    """
    words = state if state is None or isinstance(state, str) else ",".join(state)
    wanted: dict[str, object] = {
        "state": words or None,
        "parent_id": parent,
        "limit": limit,
        "offset": offset,
        "sort": sort,
        "order": order,
    }
    wanted |= {f"label.{key}": value for key, value in (labels or {}).items()}
    return base.get(_path(), answers.task_page, **wanted)


def cancel_task(
    task_id: str, reason: str | None = None, *, force: bool = False
) -> Call[taskrecords.TaskCancelled]:
    """Stop a task; `force`: without time to end by itself. Raises Conflict when it has ended."""
    given = ({} if reason is None else {"reason": reason}) | ({"force": True} if force else {})
    parse = answers.one(taskrecords.TaskCancelled)
    return Call("DELETE", _path(task_id), parse, body=given or None)


def task_events(task_id: str) -> Call[list[records.Event]]:
    """A task's history so far."""
    return _lines(task_id, answers.objects_by_line(records.Event), stream="events")


def task_logs(
    task_id: str, *, stream: str = "all", tail: int | None = None, since: str | None = None
) -> Call[list[records.Line]]:
    """The lines that a task has printed so far; the arguments are those of `stream_task_logs`."""
    parse = answers.objects_by_line(records.Line)
    return _lines(task_id, parse, stream=stream, tail=tail, since=since)


def stream(
    task_id: str, which: str, *, tail: int | None = None, since: str | None = None
) -> Call[None]:
    """The server-sent events of a task's history (`events`) or lines."""
    path = _path(task_id, "logs")
    return base.get(path, base.nothing, follow=True, stream=which, tail=tail, since=since)


def task_artifacts(task_id: str) -> Call[list[records.Artifact]]:
    """A task's files, with size, type and checksum; none before its end."""
    return base.get(_path(task_id, "artifacts"), answers.task_artifacts)


def open_task_shell(task_id: str) -> Call[taskrecords.TaskShell]:
    """A shell in the sandbox of a task that has ended; the one that is open, or a new one.

    Needs the scope `admin`. Its `url` is a WebSocket (`sandbox task shell` speaks it).
    """
    return base.do(_path(task_id, "shell"), answers.one(taskrecords.TaskShell))


def artifact(task_id: str, path: str) -> Call[None]:
    """One file of a task."""
    where = f"{_path(task_id, 'artifacts')}/{base.quoted(path, '/')}"
    return Call("GET", where, base.nothing, headers={"Accept-Encoding": "identity"})


def _lines(task_id: str, parse: Any, **params: object) -> Call[Any]:
    asked = base.get(_path(task_id, "logs"), parse, **params)
    headers = {"Accept": "application/x-ndjson"}
    return Call(asked.method, asked.path, parse, asked.params, headers=headers)


def _path(*words: str) -> str:
    return base.path(*_ROOT, *words)

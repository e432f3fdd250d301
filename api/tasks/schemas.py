"""The shape of requests and answers about tasks; manifests are read by `knify/manifest.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import marshmallow as ma
from marshmallow import fields, validate

from api.jobs.schemas import MAX_FILTER_KEY, MAX_FILTERS
from api.strict import Exact, Strict
from api.tasks import logs
from knify import clock, units
from knify.lifecycle import State
from knify.store import tasks

MAX_LIMIT: Final = 1_000
MAX_OFFSET: Final = 10_000_000
MAX_TAIL: Final = 100_000  # lines
_LABEL: Final = "label."


class Filters(ma.Schema):
    """The query of `GET /api/v1/tasks`."""

    state = fields.String(metadata={"description": "one or several, with commas"})
    label = fields.Dict(
        keys=fields.String(), values=fields.String(), load_default=dict,
        metadata={"description": "written `label.KEY=VALUE`"},
    )  # fmt: skip
    parent_id = fields.String(metadata={"description": "only children of this task"})
    limit = fields.Integer(load_default=100, validate=validate.Range(1, MAX_LIMIT))
    offset = fields.Integer(load_default=0, validate=validate.Range(0, MAX_OFFSET))
    sort = fields.String(load_default="created_at", validate=validate.OneOf(tasks.SORTS))
    order = fields.String(load_default="desc", validate=validate.OneOf(["asc", "desc"]))

    @ma.pre_load
    def _gather_labels(self, data: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        plain = {k: data[k] for k in data if not k.startswith(_LABEL)}
        known = [name for name in self.fields if name != "label"]
        for name in plain:
            if name not in known:
                words = f"unknown; known are {', '.join(sorted(known))}, label.KEY"
                raise ma.ValidationError({name[:100]: [words]})
        wanted = {k.removeprefix(_LABEL): data[k] for k in data if k not in plain}
        if len(wanted) > MAX_FILTERS:
            raise ma.ValidationError(f"at most {MAX_FILTERS} labels", "label")
        if any(not 0 < len(name) <= MAX_FILTER_KEY for name in wanted):
            raise ma.ValidationError(f"a key has 1 to {MAX_FILTER_KEY} characters", "label")
        return plain | {"label": wanted}

    @ma.post_load
    def _values(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        data["states"] = [_state(part) for part in data.pop("state", "").split(",") if part]
        data["labels"] = data.pop("label")
        data["ascending"] = data.pop("order") == "asc"
        data["parent"] = data.pop("parent_id", None)
        return data


def _state(text: str) -> str:
    if text not in list(State):
        raise ma.ValidationError(f"must be of {', '.join(State)}", "state")
    return text


class TaskCancellation(Strict):
    """The optional body of `DELETE /api/v1/tasks/{id}`."""

    reason = Exact(str, validate=validate.Length(1, 500))
    force = Exact(bool, metadata={"description": "without time to end by itself"})


class Logs(ma.Schema):
    """The query of `GET /api/v1/tasks/{id}/logs`."""

    follow = fields.Boolean(load_default=False)
    tail = fields.Integer(validate=validate.Range(0, MAX_TAIL))
    since = fields.String(metadata={"description": "a time, or how long ago, such as `15m`"})
    stream = fields.String(load_default="all", validate=validate.OneOf(logs.STREAMS))
    after = fields.String(load_default="")
    token = fields.String()

    @ma.post_load
    def _moment(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        if "since" in data:
            data["since"] = since(data["since"])
        return data


class Feed(ma.Schema):
    """The query of `GET /api/v1/tasks/stream`."""

    task_id = fields.String(required=True, validate=validate.Length(1, 128))
    after = fields.String(
        load_default="", metadata={"description": "the `id` of a message: go on behind it"}
    )
    token = fields.String()


class Shell(ma.Schema):
    """The query of a shell's WebSocket."""

    shell_id = fields.String(required=True, validate=validate.Regexp(r"[A-Za-z0-9_-]{1,100}\Z"))
    after = fields.String(load_default="", metadata={"description": "as of a task's stream"})
    token = fields.String()


class TaskShell(ma.Schema):
    """An open shell."""

    shell_id = fields.String(required=True, metadata={"description": "its id as a job"})
    token = fields.String(required=True)
    expires_at = fields.DateTime(required=True)
    url = fields.String(required=True, metadata={"description": "its WebSocket, with the token"})


def since(text: str) -> int:
    """The moment (ms) that is said by a time, or by how long ago it was."""
    try:
        if text[:1].isdigit() and "T" not in text:
            return clock.now_ms() - int(units.parse_duration(text) * 1000)
        return clock.parse_rfc3339(text.replace(" ", "+"))  # an unescaped + came as a space
    except ValueError:
        words = "must be a time such as 2026-01-31T10:00:00Z, or 15m, 2h, 90s"
        raise ma.ValidationError(words, "since") from None


class TaskLinks(ma.Schema):
    """Where more of a task is."""

    self = fields.String(required=True)
    logs = fields.String(required=True)
    artifacts = fields.String(required=True)


class TaskAccepted(ma.Schema):
    """What `POST /api/v1/tasks` answers."""

    task_id = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(list(State)))
    message = fields.String(required=True)
    created_at = fields.DateTime(required=True)
    links = fields.Nested(TaskLinks, required=True)


class TaskRow(ma.Schema):
    """One task in a list."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(list(State)))
    labels = fields.Dict(required=True)
    created_at = fields.DateTime(required=True)
    started_at = fields.DateTime(required=True, allow_none=True)
    state_changed_at = fields.DateTime(required=True)
    state_message = fields.String(required=True)
    exit_code = fields.Integer(required=True, allow_none=True)
    error = fields.String(required=True, allow_none=True)
    parent_id = fields.String(
        required=True, allow_none=True, metadata={"description": "the task that it is a child of"}
    )
    execution_id = fields.String(required=True, metadata={"description": "the Jobs API's id"})
    sandbox_id = fields.String(required=True, allow_none=True)


class TaskList(ma.Schema):
    """What `GET /api/v1/tasks` answers."""

    tasks = fields.List(fields.Nested(TaskRow), required=True)
    total_count = fields.Integer(required=True)
    limit = fields.Integer(required=True)
    offset = fields.Integer(required=True)
    has_more = fields.Boolean(required=True)
    total_is_estimate = fields.Boolean(metadata={"description": "when `total_count` is not exact"})
    sorted_among = fields.Integer(
        metadata={"description": "when only so many of the newest were looked at to sort them"}
    )


class Progress(ma.Schema):
    """What a task has done so far."""

    output_bytes = fields.Integer(required=True)
    tool_calls = fields.Integer(required=True)
    current_tool = fields.String(required=True, allow_none=True)
    last_activity_at = fields.DateTime(required=True)


class Children(ma.Schema):
    """How a task's children go along with it, and how many are in each state."""

    max_concurrent = fields.Integer(required=True, allow_none=True)
    wait_for_children = fields.Boolean(required=True)
    aggregate_artifacts = fields.Boolean(required=True)
    counts = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)


class Task(TaskRow):
    """One task."""

    children = fields.Nested(Children, required=True, allow_none=True)
    progress = fields.Nested(Progress, required=True)
    usage = fields.Dict(required=True, allow_none=True)
    definition = fields.Dict(required=True)


class TaskCancelled(ma.Schema):
    """What `DELETE /api/v1/tasks/{id}` answers."""

    success = fields.Boolean(required=True)
    task_id = fields.String(required=True)
    previous_state = fields.String(required=True, validate=validate.OneOf(list(State)))
    new_state = fields.String(required=True, validate=validate.OneOf(list(State)))
    message = fields.String(required=True)
    cancelled_at = fields.DateTime(required=True)


class TaskArtifact(ma.Schema):
    """One file of a task."""

    name = fields.String(required=True)
    path = fields.String(required=True)
    size_bytes = fields.Integer(required=True)
    content_type = fields.String(required=True)
    checksum = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "`sha256:` and 64 digits; none of what is withheld"},
    )
    created_at = fields.DateTime(required=True)
    download_url = fields.String(required=True, allow_none=True)
    withheld = fields.Boolean(
        required=True, metadata={"description": "it holds the value of a secret"}
    )


class TaskArtifacts(ma.Schema):
    """What `GET /api/v1/tasks/{id}/artifacts` answers."""

    artifacts = fields.List(fields.Nested(TaskArtifact), required=True)
    total_count = fields.Integer(required=True)
    total_size_bytes = fields.Integer(required=True)

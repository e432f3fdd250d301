"""The shape of requests and answers about jobs; what values mean is for `knify/spec.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from api import paging, strict
from api.jobs import view
from api.strict import Exact, Strict
from knify import clock, spec

MAX_NAME = 200  # characters
MAX_METADATA = 16 * 1024  # characters as JSON
MAX_FILTERS = 8  # metadata keys in one search
MAX_FILTER_KEY = 64  # characters


class Spec(Strict):
    """JSON types only; each job type's own rules are checked afterwards."""

    job_type = Exact(str, required=True)
    prompt = Exact(str)
    command = Exact(str, list, of=str)
    image = Exact(str)
    workspace_path = Exact(str)
    env = Exact(dict, of=str)
    metadata = Exact(dict)
    timeout = Exact(str, int, float)
    hang_timeout = Exact(str, int, float)
    network_mode = Exact(str)
    cpus = Exact(int, float)
    memory = Exact(str, int)
    disk = Exact(str, int)
    artifact_patterns = Exact(list, of=str)
    priority = Exact(int)
    model = Exact(str)
    session_id = Exact(str)
    agent = Exact(str)
    user_id = Exact(str)
    time_range = Exact(dict)
    secrets = Exact(list)
    allowed_hosts = Exact(list, of=str)
    allowed_tools = Exact(list, of=str)
    mcp_config = Exact(dict)
    max_turns = Exact(int)
    system_prompt = Exact(str)
    max_tokens = Exact(int)
    max_cost_usd = Exact(int, float)

    @ma.pre_load
    def _a_type_first(self, data: Any, **_: Any) -> Any:
        """Of a job type that does not exist, say that, not which of its fields we lack."""
        kind = data.get("job_type") if isinstance(data, dict) else None
        if isinstance(kind, str) and kind not in spec.available():
            return {"job_type": kind}
        return data

    @ma.validates("metadata")
    def _small(self, value: dict[str, Any], **_: Any) -> None:
        if len(json.dumps(value)) > MAX_METADATA:
            raise ma.ValidationError(f"must have at most {MAX_METADATA} characters as JSON")


class NewJob(Strict):
    """The body of `POST /jobs` and of `POST /jobs/{id}/continue`."""

    spec = fields.Nested(Spec, required=True)
    name = Exact(str, validate=validate.Length(1, MAX_NAME))


class Cancellation(Strict):
    """The optional body of `POST /jobs/{id}/cancel`."""

    reason = Exact(str, validate=validate.Length(1, 500))


class Cleanup(ma.Schema):
    """The query of `POST /jobs/{id}/cleanup`."""

    force = fields.Boolean(load_default=False)


class Filters(ma.Schema):
    """The query of `GET /jobs`."""

    page = fields.Integer(validate=validate.Range(1, paging.MAX_PAGE))
    limit = fields.Integer(validate=validate.Range(1, paging.MAX_LIMIT))
    status = fields.String(metadata={"description": "one or several, with commas"})
    job_type = fields.String(
        validate=validate.OneOf(sorted(spec.JOB_TYPES), error="one of {choices}"),
    )
    created_after = fields.String(metadata={"format": "date-time"})
    created_before = fields.String(metadata={"format": "date-time"})
    before = fields.String(
        validate=validate.Regexp(r"[0-9]{1,16}\Z|(?![0-9]*\Z)[A-Za-z0-9_.-]{1,128}\Z"),
        metadata={"description": "a job's id, or a page's X-Next-Before: only what is older"},
    )
    metadata = fields.Dict(
        keys=fields.String(), values=fields.String(), load_default=dict,
        metadata={"description": "written `metadata.KEY=VALUE`"},
    )  # fmt: skip

    @ma.pre_load
    def _gather_metadata(self, data: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        plain = {k: data[k] for k in data if not k.startswith("metadata.")}
        known = [name for name in self.fields if name != "metadata"]
        for name in plain:
            if name not in known:
                shown = name[:100]
                raise ma.ValidationError(
                    {shown: [strict.not_known(shown, [*known, "metadata.KEY"])]}
                )
        wanted = {k.removeprefix("metadata."): data[k] for k in data if k not in plain}
        if len(wanted) > MAX_FILTERS:
            raise ma.ValidationError(f"at most {MAX_FILTERS} metadata keys", "metadata")
        if any(not 0 < len(name) <= MAX_FILTER_KEY for name in wanted):
            raise ma.ValidationError(f"a key has 1 to {MAX_FILTER_KEY} characters", "metadata")
        return plain | {"metadata": wanted}

    @ma.post_load
    def _values(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        for name in ("created_after", "created_before"):
            if name in data:
                data[name] = _moment(name, data[name])
        if "status" in data:
            data["status"] = [_status(part) for part in data["status"].split(",")]
        return data


def _moment(name: str, text: str) -> int:
    try:
        return clock.parse_rfc3339(text.replace(" ", "+"))  # an unescaped + came as a space
    except ValueError as failed:
        raise ma.ValidationError("must be an RFC 3339 time such as 2026-01-31T10:00:00Z", name) \
            from failed  # fmt: skip


def _status(text: str) -> str:
    if text not in view.STATES_OF:
        raise ma.ValidationError(f"must be of {', '.join(view.STATES_OF)}", "status")
    return text


class Accepted(ma.Schema):
    """What `POST /jobs` answers."""

    job_id = fields.String(required=True)
    status = fields.String(required=True)


class Continued(Accepted):
    """What `POST /jobs/{id}/continue` answers."""

    parent_job_id = fields.String(required=True)
    sandbox_id = fields.String(required=True)
    cursor_session_id = fields.String(required=True, allow_none=True)


class CleanedUp(ma.Schema):
    """What `POST /jobs/{id}/cleanup` answers."""

    success = fields.Boolean(required=True)
    message = fields.String(required=True)


class Event(ma.Schema):
    """One step of a job's history."""

    n = fields.Integer(required=True)
    ts = fields.DateTime(required=True)
    stage = fields.String(required=True)
    level = fields.String(required=True)
    detail = fields.String(required=True)
    state = fields.String(allow_none=True)


class Job(ma.Schema):
    """One job."""

    id = fields.String(required=True)
    name = fields.String(allow_none=True)
    spec = fields.Dict(required=True)
    status = fields.String(validate=validate.OneOf(list(view.STATES_OF)))
    state = fields.String()
    metadata = fields.Dict()
    created_at = fields.DateTime()
    started_at = fields.DateTime(allow_none=True)
    completed_at = fields.DateTime(allow_none=True)
    sandbox_id = fields.String(allow_none=True)
    cursor_session_id = fields.String(allow_none=True)
    parent_job_id = fields.String(allow_none=True)
    usage = fields.Dict(allow_none=True)
    exit_code = fields.Integer(allow_none=True)
    error = fields.String(allow_none=True)
    queue_position = fields.Integer(metadata={"description": "while pending, in its tenant's line"})
    pending_reason = fields.String(metadata={"description": "while pending: what it waits for"})


class Row(Job):
    """One job in a list, where long fields are cut."""

    is_brief = fields.Boolean(metadata={"description": "when some of them are"})


class JobDetail(Job):
    """One job with its history and the names of its files."""

    image_digest = fields.String(
        allow_none=True, metadata={"description": "of the image that its sandbox was made from"}
    )
    events = fields.List(fields.Nested(Event))
    artifacts = fields.Dict()

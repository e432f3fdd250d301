"""The shape of stream tokens."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from api.strict import Exact, Strict

STREAMS = ("events", "output", "cursor")


class NewToken(Strict):
    """The body of `POST /stream-tokens`: a path, or a job and which of its streams."""

    path = Exact(str, validate=validate.Length(1, 2_000))
    job_id = Exact(str, validate=validate.Regexp(r"[A-Za-z0-9_-]{1,100}\Z"))
    stream = Exact(str, validate=validate.OneOf(STREAMS))

    @ma.post_load
    def _one_path(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        if ("path" in data) == ("job_id" in data) or ("path" in data and "stream" in data):
            raise ma.ValidationError("give path, or job_id and stream", "path")
        path = data.get("path") or f"/jobs/{data['job_id']}/{data.get('stream', 'output')}/stream"
        return {"path": path}


class Token(ma.Schema):
    """What opens one stream, once."""

    token = fields.String(required=True)
    expires_at = fields.DateTime(required=True)
    url = fields.String(required=True, metadata={"description": "the path with its token"})

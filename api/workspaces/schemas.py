"""The shape of workspaces."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import fields, validate

from api import paging


class Workspace(ma.Schema):
    """One uploaded version."""

    workspace_id = fields.String(required=True)
    name = fields.String(required=True)
    path = fields.String(required=True, metadata={"description": "for `workspace_path`"})
    created_at = fields.DateTime(required=True)
    size_bytes = fields.Integer(required=True)
    sha256 = fields.String(required=True)
    version = fields.Integer(required=True)
    files = fields.Integer(required=True)
    upload_sha256 = fields.String(
        allow_none=True, metadata={"description": "of the archive as it was sent"}
    )


class Uploaded(Workspace):
    """What an upload answers."""

    unchanged = fields.Boolean(
        required=True,
        metadata={"description": "no version was added: the newest one has these files already"},
    )


class Filters(ma.Schema):
    """Query parameters of the list."""

    name = fields.String(validate=validate.Length(1, 100))
    page = fields.Integer(validate=validate.Range(1, paging.MAX_PAGE))
    limit = fields.Integer(validate=validate.Range(1, paging.MAX_LIMIT))


class Deleted(ma.Schema):
    """What a deletion answers."""

    success = fields.Boolean(required=True)


#: The multipart form of an upload, which no schema reads: the file is streamed (`multipart`).
UPLOAD = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["workspace"],
                "additionalProperties": False,
                "properties": {
                    "workspace": {"type": "string", "format": "binary"},
                    "name": {
                        "type": "string",
                        "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
                    },
                },
            }
        }
    },
}

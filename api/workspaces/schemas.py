"""The shape of workspaces."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import fields


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


class Deleted(ma.Schema):
    """What a deletion answers."""

    success = fields.Boolean(required=True)


#: The multipart form of an upload, which no schema reads: the file is streamed.
UPLOAD = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["workspace"],
                "properties": {
                    "workspace": {"type": "string", "format": "binary"},
                    "name": {"type": "string"},
                },
            }
        }
    },
}

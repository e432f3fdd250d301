"""The shape of sandboxes."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import fields, validate

from api import paging
from knify.lifecycle import SandboxState


class Filters(ma.Schema):
    """The query of `GET /sandboxes`."""

    page = fields.Integer(validate=validate.Range(1, paging.MAX_PAGE))
    limit = fields.Integer(validate=validate.Range(1, paging.MAX_LIMIT))
    orphans = fields.Boolean(load_default=False)


class Sandbox(ma.Schema):
    """One sandbox; an orphan has `state` orphan, `node`, `kinds` and its times."""

    id = fields.String(required=True)
    state = fields.String(validate=validate.OneOf([*SandboxState, "orphan"]))
    node = fields.String(allow_none=True)
    image = fields.String()
    created_at = fields.DateTime()
    expires_at = fields.DateTime(allow_none=True)
    reason = fields.String(allow_none=True, metadata={"description": "why it is lost"})
    jobs = fields.List(fields.String(), metadata={"description": "those that run or wait in it"})
    kinds = fields.List(fields.String(), metadata={"description": "of container, volume"})
    found_at = fields.DateTime()
    kept_until = fields.DateTime(
        metadata={"description": "an orphan's removal; later when Redis was put back meanwhile"}
    )

"""The shape of sandboxes."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from api import paging
from api.strict import Exact, Strict
from knify import units
from knify.lifecycle import SandboxState


class Filters(ma.Schema):
    """The query of `GET /sandboxes`."""

    page = fields.Integer(validate=validate.Range(1, paging.MAX_PAGE))
    limit = fields.Integer(validate=validate.Range(1, paging.MAX_LIMIT))
    orphans = fields.Boolean(load_default=False)


class Extension(Strict):
    """The optional body of `POST /sandboxes/{id}/extend`."""

    expires_in = Exact(str, int, float)

    @ma.post_load
    def _checked(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        if "expires_in" not in data:
            return {}
        try:
            return {"seconds": units.parse_duration(data["expires_in"])}
        except ValueError as wrong:
            raise ma.ValidationError(f"{wrong}", "expires_in") from wrong


class Network(Strict):
    """The body of `PATCH /sandboxes/{id}/network`."""

    network_mode = Exact(str, required=True)
    allowed_hosts = Exact(list, of=str)


class ChangedNetwork(ma.Schema):
    """What a sandbox's running job may reach from now on."""

    sandbox_id = fields.String(required=True)
    job_id = fields.String(required=True)
    network_mode = fields.String(required=True)
    allowed_hosts = fields.List(fields.String(), required=True)


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

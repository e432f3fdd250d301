"""The shape of API keys."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import fields, validate

from api.jobs.schemas import Exact, Strict


class NewKey(Strict):
    """The body of `POST /keys`."""

    name = Exact(str, validate=validate.Length(1, 200))
    scopes = Exact(list, of=str, load_default=lambda: ["read", "write"])
    tier = Exact(str, validate=validate.OneOf(["free", "pro", "enterprise"]))


class Key(ma.Schema):
    """A key, without its text."""

    id = fields.String(required=True)
    name = fields.String(allow_none=True)
    scopes = fields.List(fields.String())
    tier = fields.String()
    created_at = fields.DateTime()
    revoked_at = fields.DateTime(allow_none=True)


class CreatedKey(Key):
    """A fresh key: the only answer that holds its text."""

    key = fields.String(required=True)


class Revoked(ma.Schema):
    """What a revocation answers."""

    success = fields.Boolean(required=True)

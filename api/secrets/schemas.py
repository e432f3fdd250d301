"""The shape of secrets."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import fields

from api.strict import Exact, Strict


class Value(Strict):
    """The body of `PUT /secrets/{name}`."""

    value = Exact(str, required=True, metadata={"writeOnly": True})


class Secret(ma.Schema):
    """A secret, without its value."""

    name = fields.String(required=True)
    created_at = fields.DateTime(required=True)
    updated_at = fields.DateTime(required=True)


class DeletedSecret(ma.Schema):
    """What a deletion answers."""

    success = fields.Boolean(required=True)

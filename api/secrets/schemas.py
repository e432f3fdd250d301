"""The shape of secrets."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import fields

from api.strict import Exact, Strict
from knify import disguises


class Value(Strict):
    """The body of `PUT /secrets/{name}`."""

    value = Exact(
        str,
        required=True,
        metadata={
            "writeOnly": True,
            "pattern": f"^[^\\u0000]{{{disguises.SHORTEST},}}$",  # as for prompts, no end
            "description": "8 bytes to 16 KiB of text.",
        },
    )


class Secret(ma.Schema):
    """A secret, without its value."""

    name = fields.String(required=True)
    created_at = fields.DateTime(required=True)
    updated_at = fields.DateTime(required=True)


class DeletedSecret(ma.Schema):
    """What a deletion answers."""

    success = fields.Boolean(required=True)

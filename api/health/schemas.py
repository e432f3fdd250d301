"""The shape of health answers."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import fields


class Health(ma.Schema):
    """This process answers."""

    status = fields.String(required=True)
    version = fields.String()


class Ready(Health):
    """Jobs can run."""

    checks = fields.Dict(keys=fields.String(), values=fields.String())

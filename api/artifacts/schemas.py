"""The shape of questions about artifacts."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import fields


class Listing(ma.Schema):
    """The query of `GET /jobs/{id}/artifacts`."""

    content = fields.Boolean(
        load_default=True, metadata={"description": "0: what the files are, not what is in them"}
    )

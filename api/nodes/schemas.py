"""The shape of nodes."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import fields, validate

STATES = ("up", "cordoned", "draining", "drained", "away")


class Node(ma.Schema):
    """One Podman host."""

    name = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    slots = fields.Integer(allow_none=True)
    active = fields.Integer()
    paused = fields.Integer()
    hot = fields.Integer()
    removals = fields.Integer()
    sandboxes = fields.Integer()
    waiting = fields.Integer()
    draining_since = fields.DateTime(allow_none=True)
    cordoned_since = fields.DateTime(allow_none=True)
    archived = fields.Integer(allow_none=True)


class Forgetting(ma.Schema):
    """How a node is forgotten."""

    force = fields.Boolean(load_default=False)


class Forgotten(ma.Schema):
    """That it is."""

    success = fields.Boolean(required=True)


class Archiving(ma.Schema):
    """What asking for an archive answers."""

    success = fields.Boolean(required=True)

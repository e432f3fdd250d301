"""The shape of what jobs tell while they run."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import fields

from api.jobs.schemas import Event


class How(ma.Schema):
    """Query of the output's routes."""

    class Meta:
        """Others, such as `after`, are read elsewhere."""

        unknown = ma.EXCLUDE

    raw = fields.Boolean(load_default=False, metadata={"description": "the agent's own lines"})


class From(How):
    """Query of the streams."""

    after = fields.String(metadata={"description": "as the header Last-Event-ID"})


class History(ma.Schema):
    """A job's history."""

    events = fields.List(fields.Nested(Event), required=True)


class OutputEvent(ma.Schema):
    """Of type agent_message, tool_use, tool_result, file_created, progress, … completed."""

    class Meta:
        """Each type has its own fields."""

        unknown = ma.INCLUDE

    type = fields.String(required=True)
    timestamp = fields.DateTime(required=True)


class Output(ma.Schema):
    """A job's output."""

    events = fields.List(fields.Nested(OutputEvent), required=True)

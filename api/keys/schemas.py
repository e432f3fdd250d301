"""The shape of API keys."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from api import paging
from api.strict import Exact, Strict
from knify import apikeys, clock, units
from knify.services import keys, powers

_TENANT = validate.Regexp(
    r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}\Z", error="must be 1 to 63 letters, digits, - and _"
)
_OPERATORS = {"description": "another tenant; for the operator's keys only"}


class NewKey(Strict):
    """The body of `POST /keys`."""

    name = Exact(str, validate=validate.Length(1, 200))
    scopes = Exact(
        list,
        of=str,
        load_default=lambda: ["read", "write"],
        metadata={"minItems": 1, "items": {"type": "string", "enum": list(powers.SCOPES)}},
    )
    tier = Exact(str, validate=validate.OneOf(list(apikeys.TIERS)))
    limit_per_hour = Exact(int, validate=validate.Range(1, powers.MOST_AN_HOUR))
    expires_at = Exact(str)
    expires_in = Exact(str, int, float)
    mode = Exact(str, validate=validate.OneOf(list(keys.MODES)))
    tenant = Exact(str, validate=_TENANT)

    @ma.post_load
    def _expiry(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Milliseconds since the epoch, whichever way it was written."""
        if "expires_in" in data:
            if "expires_at" in data:
                raise ma.ValidationError("give expires_at or expires_in, not both", "expires_in")
            data["expires_at"] = clock.now_ms() + int(_seconds(data.pop("expires_in")) * 1000)
        elif "expires_at" in data:
            data["expires_at"] = _moment(data["expires_at"])
        return data


class Rotation(Strict):
    """The optional body of `POST /keys/{id}/rotate`."""

    grace = Exact(str, int, float)

    @ma.post_load
    def _checked(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        grace = data.pop("grace", 0)
        data["grace_seconds"] = 0.0 if grace == 0 else _seconds(grace, "grace")
        if data["grace_seconds"] > keys.LONGEST_GRACE:
            days = keys.LONGEST_GRACE // 86_400
            raise ma.ValidationError(f"the old secret may open for {days} days at most", "grace")
        return data


class Whose(ma.Schema):
    """The query of all routes on keys."""

    tenant = fields.String(validate=_TENANT, metadata=_OPERATORS)


class Filters(Whose):
    """The query of `GET /keys`."""

    page = fields.Integer(validate=validate.Range(1, paging.MAX_PAGE))
    limit = fields.Integer(validate=validate.Range(1, paging.MAX_LIMIT))


class Revocation(Whose):
    """The query of `DELETE /keys/{id}`."""

    force = fields.Boolean(
        load_default=False,
        metadata={"description": "also the last lasting key with the scope admin"},
    )


class Key(ma.Schema):
    """A key, without its text."""

    id = fields.String(required=True)
    name = fields.String(allow_none=True)
    tenant = fields.String()
    mode = fields.String(validate=validate.OneOf(list(keys.MODES)))
    scopes = fields.List(fields.String())
    tier = fields.String()
    limit_per_hour = fields.Integer(allow_none=True, metadata={"description": "null: no limit"})
    status = fields.String(validate=validate.OneOf(["active", "expired", "revoked"]))
    created_at = fields.DateTime()
    expires_at = fields.DateTime(allow_none=True)
    last_used_at = fields.DateTime(allow_none=True)
    rotated_at = fields.DateTime(allow_none=True)
    old_secret_until = fields.DateTime(allow_none=True)
    revoked_at = fields.DateTime(allow_none=True)


class CreatedKey(Key):
    """A fresh key or secret: the only answer that holds its text."""

    key = fields.String(required=True)


class Revoked(ma.Schema):
    """What a revocation answers."""

    success = fields.Boolean(required=True)


def _seconds(value: Any, field: str = "expires_in") -> float:
    try:
        return units.parse_duration(value)
    except ValueError as wrong:
        raise ma.ValidationError(f"{wrong}", field) from wrong


def _moment(text: str) -> int:
    try:
        return clock.parse_rfc3339(text)
    except (ValueError, OverflowError) as wrong:
        words = "must be an RFC 3339 time such as 2027-01-31T10:00:00Z"
        raise ma.ValidationError(words, "expires_at") from wrong

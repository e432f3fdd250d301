"""Who may come in: API keys and stream tokens."""

from __future__ import annotations

from collections.abc import Sequence

from knify.client import answers, records
from knify.client.calls import base
from knify.client.calls.base import Call


def create_key(
    name: str | None = None,
    scopes: Sequence[str] = (),
    tier: str | None = None,
    idempotency_key: str | None = None,
) -> Call[records.Key]:
    """A new API key; its text is in this answer only. Needs the scope `admin`."""
    body = {"name": name, "scopes": list(scopes) or None, "tier": tier}
    return base.create("/keys", answers.one(records.Key), body, idempotency_key)


def list_keys() -> Call[list[records.Key]]:
    """All keys, without their text. Needs the scope `admin`."""
    return base.get("/keys", answers.many(records.Key, "keys"))


def revoke_key(key_id: str) -> Call[None]:
    """The key opens nothing from now on. Needs the scope `admin`."""
    return base.delete(base.path("keys", key_id), base.nothing)


def create_stream_token() -> Call[records.StreamToken]:
    """A token that opens one stream as `?token=`, for clients that can send no header."""
    return base.create("/stream-tokens", answers.one(records.StreamToken), {}, None)

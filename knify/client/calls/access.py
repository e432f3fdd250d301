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
    *,
    limit_per_hour: int | None = None,
    expires_in: str | float | None = None,
    mode: str | None = None,
    tenant: str | None = None,
) -> Call[records.Key]:
    """A new API key; its text is in this answer only. Needs the scope `admin`.

    `expires_in`: seconds, or like `30d`. `mode`: `live` or `test`. `tenant`: the operator may
    name another than its own, here and below.
    """
    body = {
        "name": name,
        "scopes": list(scopes) or None,
        "tier": tier,
        "limit_per_hour": limit_per_hour,
        "expires_in": expires_in,
        "mode": mode,
        "tenant": tenant,
    }
    return base.create("/keys", answers.one(records.Key), body, idempotency_key)


def list_keys(*, tenant: str | None = None) -> Call[list[records.Key]]:
    """The newest hundred keys, without their text. Needs the scope `admin`."""
    return base.get("/keys", answers.many(records.Key, "keys"), tenant=tenant)


def key(key_id: str, *, tenant: str | None = None) -> Call[records.Key]:
    """A key, without its text. Needs the scope `admin`."""
    return base.get(base.path("keys", key_id), answers.one(records.Key), tenant=tenant)


def rotate_key(
    key_id: str,
    grace: str | float | None = None,
    idempotency_key: str | None = None,
    *,
    tenant: str | None = None,
) -> Call[records.Key]:
    """Another secret for the key, in this answer only; the old one opens for `grace` more."""
    path, body = base.path("keys", key_id, "rotate"), {"grace": grace}
    return base.create(path, answers.one(records.Key), body, idempotency_key, tenant=tenant)


def revoke_key(key_id: str, *, force: bool = False, tenant: str | None = None) -> Call[None]:
    """The key opens nothing from now on. `force`: even the last lasting one with `admin`."""
    path = base.path("keys", key_id)
    return base.delete(path, base.nothing, force=force or None, tenant=tenant)


def create_stream_token(job_id: str, stream: str = "output") -> Call[records.StreamToken]:
    """A token that opens one of a job's streams once, within 60 s, as `?token=`.

    For clients that can send no header, such as a page's EventSource: give them its `url`.
    """
    body = {"job_id": job_id, "stream": stream}
    return base.create("/stream-tokens", answers.one(records.StreamToken), body, None)

"""Rate limits at the edge: over its limit a key is refused; each answer says how it stands."""

from __future__ import annotations

from typing import cast

import flask

from knify import apikeys, errors
from knify.services import rates

LIMITER = "knify.limiter"


def check(key: apikeys.ApiKey) -> None:
    """Count this request. RateLimited when the key has none left."""
    limiter = cast(rates.Limiter, flask.current_app.extensions[LIMITER])
    rate = flask.g.rate = limiter.hit(key)
    if rate is not None and not rate.allowed:
        seconds = rate.retry_after()
        raise errors.RateLimited(
            f"this key has used its {rate.limit} requests of an hour: try again in {seconds} s",
            detail={"limit": rate.limit, "retry_after": seconds},
        )


def headers() -> dict[str, str]:
    """What this request's answer says of its key's limit; nothing without one."""
    rate: rates.Rate | None = flask.g.get("rate")
    if rate is None:
        return {}
    found = {
        "X-RateLimit-Limit": str(rate.limit),
        "X-RateLimit-Remaining": str(rate.remaining),
        "X-RateLimit-Reset": str(rate.reset_at),
    }
    return found if rate.allowed else found | {"Retry-After": str(rate.retry_after())}

"""Which of Redis's refusals are everybody's, and so 503."""

from __future__ import annotations

import pytest
import redis

from api import errors as api_errors
from knify import errors


@pytest.mark.parametrize(
    "refusal",
    [
        redis.ConnectionError("gone"),
        redis.TimeoutError("silent"),
    ],
)
def test_a_redis_that_refuses_everybody_is_unavailable(refusal: redis.RedisError) -> None:
    assert type(api_errors.of_redis(refusal)) is errors.StoreUnavailable


@pytest.mark.parametrize(
    "refusal",
    [
        redis.OutOfMemoryError("command not allowed when used memory > 'maxmemory'. script: x"),
        redis.ResponseError("OOM command not allowed when used memory > 'maxmemory'."),
    ],
)
def test_a_redis_without_memory_is_full(refusal: redis.RedisError) -> None:
    full = api_errors.of_redis(refusal)

    assert isinstance(full, errors.StoreFull)
    assert "maxmemory" in full.message


def test_a_redis_that_refuses_our_call_is_our_own_error() -> None:
    wrong = redis.ResponseError("WRONGTYPE Operation against a key")

    assert api_errors.of_redis(wrong) is wrong

"""Which of Redis's refusals are everybody's, and so 503."""

from __future__ import annotations

import pytest
import redis

from api import errors as api_errors
from knify import errors


@pytest.mark.parametrize(
    "refusal",
    [
        redis.OutOfMemoryError("command not allowed when used memory > 'maxmemory'. script: x"),
        redis.ResponseError("OOM command not allowed when used memory > 'maxmemory'."),
        redis.ConnectionError("gone"),
        redis.TimeoutError("silent"),
    ],
)
def test_a_redis_that_refuses_everybody_is_unavailable(refusal: redis.RedisError) -> None:
    assert isinstance(api_errors.of_redis(refusal), errors.StoreUnavailable)


def test_a_redis_that_refuses_our_call_is_our_own_error() -> None:
    wrong = redis.ResponseError("WRONGTYPE Operation against a key")

    assert api_errors.of_redis(wrong) is wrong

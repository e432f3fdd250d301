"""Hints are Celery's own messages, whoever writes them."""

from __future__ import annotations

import base64
import json
from typing import Any

from celery import Celery

from knify import hints
from knify.store import redis as store_redis
from tests.parts import stack as stack_part

_OWN = ("id", "root_id", "origin", "correlation_id", "reply_to", "delivery_tag", "ignore_result")


def comparable(text: str) -> dict[str, Any]:
    """A message without what differs from one to the next."""
    message = json.loads(text)
    message["body"] = json.loads(base64.b64decode(message["body"]))
    for part in ("headers", "properties"):
        message[part] = {k: v for k, v in message[part].items() if k not in _OWN}
    return dict(message)


def test_a_hint_is_the_message_that_celery_would_send(redis_url: str) -> None:
    app = Celery("test", set_as_current=False)
    hints.configure(app, redis_url)
    to = hints.node_queue("n")

    app.send_task(hints.ADVANCE, args=["job_1"], queue=to)

    (sent,) = store_redis.connect(redis_url).lrange(to, 0, -1)
    assert comparable(hints.message(hints.ADVANCE, "job_1", to)) == comparable(sent)


def test_hints_reach_the_queue_of_their_node_in_the_order_of_their_giving(redis_url: str) -> None:
    sender = hints.CeleryHints(redis_url)

    for n in range(250):
        sender.advance(f"job_{n}", "n")
    sender.remove("sandbox_1", "n")

    client = store_redis.connect(redis_url)
    stack_part.eventually(lambda: client.llen("knify.node.n") == 251)
    first, last = client.lindex("knify.node.n", -1), client.lindex("knify.node.n", 0)
    assert comparable(first)["body"][0] == ["job_0"]
    assert comparable(last)["headers"]["task"] == hints.REMOVE


def test_hints_while_redis_is_away_are_dropped_and_nobody_waits(tmp_path: Any) -> None:
    sender = hints.CeleryHints(f"unix://{tmp_path}/nobody.sock")

    for n in range(300):
        sender.advance(f"job_{n}")

    stack_part.eventually(lambda: sender._waiting.empty())

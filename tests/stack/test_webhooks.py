"""Webhooks of a running installation: API, worker and a receiver."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

import pytest

from knify.client import Client
from tests.parts.stack import eventually
from tests.stack.parts import ran
from tests.webhooks import receiver as receivers

pytestmark = [pytest.mark.stack, pytest.mark.podman]
SECRET = "your_webhook_secret"
ALL = ["job.created", "job.started", "job.completed"]


@pytest.fixture
def receiver() -> Iterator[receivers.Receiver]:
    with receivers.running() as running:
        yield running


def test_a_receiver_hears_of_a_real_job_and_can_check_who_says_so(
    client: Client, receiver: receivers.Receiver
) -> None:
    hook = client.create_webhook(receiver.url, ALL, SECRET).webhook_id
    try:
        job = ran(client, "echo hello")
        eventually(lambda: len(receiver.got) >= 3 or None)
    finally:
        client.delete_webhook(hook)

    assert receiver.types() == ALL
    for one in receiver.got:
        computed = hmac.new(SECRET.encode(), one.raw, hashlib.sha256).hexdigest()
        assert one.headers["x-knify-signature"] == f"sha256={computed}"
        assert one.body["job_id"] == job.id
    assert receiver.got[-1].body["data"]["exit_code"] == 0

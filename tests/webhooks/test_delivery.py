"""Deliveries over real HTTP: what is sent, how often, in which order, and what it costs others."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging

import pytest
import standardwebhooks

from knify import deliver, post
from knify.lifecycle import State
from knify.services import webhooks
from tests.webhooks import receiver as receivers
from tests.webhooks.receiver import Receiver
from tests.webhooks.rig import SECRET, Rig

ALL = ["job.created", "job.started", "job.completed"]


def verify_signature(payload: bytes, signature: str, secret: str = SECRET) -> bool:
    """The documented one, to the letter."""
    computed = hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()
    return hmac.compare_digest(f"sha256={computed}", signature)


def test_a_job_is_told_from_its_beginning_to_its_end(rig: Rig, receiver: Receiver) -> None:
    hook = rig.hook(receiver.url)
    rig.deliverer()

    job = rig.finished(metadata={"team": "öps", "n": 1})

    rig.until(lambda: len(receiver.got) == 3)
    assert receiver.types() == ALL
    assert [one.body["status"] for one in receiver.got] == ["pending", "running", "completed"]
    last = receiver.got[-1].body
    assert set(last) == {"type", "job_id", "status", "created_at", "data"}
    assert last["job_id"] == last["data"]["id"] == job
    assert last["data"]["metadata"] == {"team": "öps", "n": 1}
    assert last["data"]["exit_code"] == 0
    assert last["data"]["completed_at"] == last["created_at"]
    rig.until(lambda: set(rig.statuses(hook).values()) == {"delivered"})
    assert [one.type for one in rig.deliveries(hook)] == ALL[::-1]
    assert {one.code for one in rig.deliveries(hook)} == {200}


def test_only_what_was_asked_for_is_told(rig: Rig, receiver: Receiver) -> None:
    rig.hook(receiver.url, ["job.failed", "job.cancelled"])
    other = rig.hook(receiver.url, ["job.completed"], tenant="other")
    rig.deliverer()

    rig.finished()
    failed = rig.finished(State.FAILED)

    rig.until(lambda: receiver.got)
    assert [(one.body["type"], one.body["job_id"]) for one in receiver.got] == [
        ("job.failed", failed)
    ]
    assert rig.deliveries(other, "other") == []


@pytest.mark.parametrize("secret", [SECRET, None, "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"])
def test_the_documented_check_and_the_reference_library_accept_it(
    rig: Rig, receiver: Receiver, secret: str | None
) -> None:
    made = webhooks.create(
        rig.core, "default", url=receiver.url, events=["job.created"], secret=secret
    )
    text = secret or made.secret or ""
    rig.deliverer()
    rig.job(metadata={"text": "ünïcode \u2028 </script>"})

    got = rig.until(lambda: receiver.got)[0]

    assert verify_signature(got.raw, got.headers["x-knify-signature"], text)
    assert not verify_signature(got.raw + b" ", got.headers["x-knify-signature"], text)
    key = text if text.startswith("whsec_") else text.encode()
    checker = standardwebhooks.Webhook(key)
    assert checker.verify(got.raw, got.headers) == json.loads(got.raw)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        checker.verify(got.raw + b" ", got.headers)
    assert got.headers["content-type"] == "application/json"
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"


def test_a_receiver_that_fails_twice_gets_the_third_with_the_same_bytes(
    rig: Rig, receiver: Receiver
) -> None:
    receiver.script = [500, 503]
    hook = rig.hook(receiver.url, ["job.completed"])
    rig.deliverer()
    rig.finished()

    for n, ms in ((1, 7_000), (2, 13_000)):
        rig.until(lambda n=n: len(receiver.got) >= n and not rig.lists(hook)["leased"])
        rig.later(ms)
    rig.until(lambda: rig.statuses(hook) == {"job.completed": "delivered"})

    assert len({one.raw for one in receiver.got}) == len({one.id for one in receiver.got}) == 1
    assert len(receiver.got) == 3
    done = rig.deliveries(hook)[0]
    assert (done.attempts, done.code, done.error) == (3, 200, None)
    assert all(verify_signature(g.raw, g.headers["x-knify-signature"]) for g in receiver.got)


def test_waiting_times_grow_from_five_seconds_to_an_hour() -> None:
    for _ in range(100):
        delays = [deliver.delay_ms(n) for n in range(1, 40)]
        assert 5_000 <= delays[0] <= 6_000
        assert all(5_000 * 2**n <= delays[n] <= 6_000 * 2**n for n in range(9))
        assert all(3_600_000 <= delay <= 4_320_000 for delay in delays[10:])
    assert deliver.delay_ms(1, retry_after=60) >= 60_000
    assert deliver.delay_ms(1, retry_after=10**9) <= 4_320_000


@pytest.mark.parametrize(
    ("how", "error"),
    [
        (receivers.HANG, "no answer within"),
        (receivers.CLOSE, "the connection ended before a whole answer"),
        (receivers.DRIP, "no answer within"),
        (receivers.NOISE, "the connection ended before a whole answer"),
        (302, "redirects are not followed"),
        (404, "answered 404"),
    ],
)
def test_a_bad_receiver_costs_its_own_delivery_only(
    rig: Rig, receiver: Receiver, how: int | str, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if error == "no answer within":
        monkeypatch.setattr(post, "TOTAL_SECONDS", 1.0)
    receiver.default = how
    receiver.answer_headers = {"Location": "http://169.254.169.254/"}
    bad = rig.hook(receiver.url, ["job.created"])
    with receivers.running() as well:
        good = rig.hook(well.url, ["job.created"])
        rig.deliverer()
        rig.job()

        rig.until(lambda: rig.statuses(good) == {"job.created": "delivered"})
        found = rig.until(lambda: [d for d in rig.deliveries(bad) if d.error])[0]

    assert error in found.error
    assert found.status == "pending"
    assert webhooks.get(rig.core, "default", bad).failing_since is not None
    assert webhooks.get(rig.core, "default", good).failing_since is None


def test_of_an_answer_without_end_only_the_beginning_is_read(rig: Rig, receiver: Receiver) -> None:
    receiver.default = receivers.FLOOD
    hook = rig.hook(receiver.url, ["job.created"])
    rig.deliverer()
    rig.job()

    rig.until(lambda: rig.statuses(hook) == {"job.created": "delivered"})


def test_nobody_listening_is_an_error_with_words(rig: Rig) -> None:
    hook = rig.hook(f"http://127.0.0.1:{receivers.free_port()}/", ["job.created"])
    rig.deliverer()
    rig.job()

    found = rig.until(lambda: [d for d in rig.deliveries(hook) if d.error])[0]

    assert "no connection" in found.error


def test_a_receiver_that_hangs_does_not_hold_up_a_good_one(rig: Rig, receiver: Receiver) -> None:
    receiver.default = receivers.HANG
    rig.hook(receiver.url, ["job.created"])
    with receivers.running() as well:
        good = rig.hook(well.url, ["job.created"])
        rig.deliverer(at_once=8)
        for _ in range(10):
            rig.job()

        rig.until(lambda: rig.lists(good)["ended"] == 10)


def test_a_failed_attempt_is_one_structured_line(
    rig: Rig, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.default = 500
    hook = rig.hook(receiver.url + "?token=secret-in-url", ["job.created"])
    rig.deliverer()
    with caplog.at_level(logging.WARNING, logger="knify.deliver"):
        rig.job()
        rig.until(lambda: [r for r in caplog.records if "not delivered" in r.message])

    line = vars(next(r for r in caplog.records if "not delivered" in r.message))
    assert (line["webhook"], line["code"], line["attempt"]) == (hook, 500, 1)
    assert line["error"] == "answered 500" and line["next_in_ms"] >= 5_000
    assert "secret-in-url" not in str(line) and SECRET not in str(line)


def test_nothing_secret_is_in_what_receivers_get_or_redis_holds(
    rig: Rig, receiver: Receiver
) -> None:
    rig.hook(receiver.url)
    rig.deliverer()

    rig.finished(env={"TOKEN": "canary-env"}, command="echo canary-command")

    rig.until(lambda: len(receiver.got) == 3)
    assert all(b"canary" not in one.raw for one in receiver.got)
    client = rig.core.store.client
    held = [str(client.hgetall(key)) for key in client.scan_iter("knify:h:*", _type="hash")]
    assert held and not any(SECRET in text or "canary" in text for text in held)


def test_two_processes_share_the_work_and_send_each_delivery_once(
    rig: Rig, receiver: Receiver
) -> None:
    hook = rig.hook(receiver.url, ["job.created"])
    rig.deliverer()
    rig.deliverer()

    for _ in range(40):
        rig.job()

    rig.until(lambda: rig.lists(hook)["ended"] == 40)
    assert len(receiver.got) == len({one.id for one in receiver.got}) == 40


def test_a_process_that_stops_leaves_nothing_half_done(rig: Rig, receiver: Receiver) -> None:
    hook = rig.hook(receiver.url, ["job.created"])
    one = rig.deliverer()
    receiver.default = receivers.HANG
    rig.job()
    rig.until(lambda: receiver.got)

    one.stop(0.2)

    assert rig.lists(hook)["leased"] == 1
    receiver.default = 200
    rig.later(deliver.LEASE_MS + 1)
    rig.deliverer()
    rig.until(lambda: rig.lists(hook)["ended"] == 1)
    assert len({one.id for one in receiver.got}) == 1

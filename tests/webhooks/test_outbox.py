"""The outbox in Redis: what is due when, who may take it, what is freed, what has an end."""

from __future__ import annotations

import random

import pytest

from knify import conflicts
from knify.lifecycle import State
from knify.services import deletion, jobs, webhooks
from knify.store import hookkeys
from knify.store import webhooks as store_webhooks
from knify.store.webhooks import Claimed, Result
from tests.webhooks.rig import Rig

URL = "http://127.0.0.1:9/"
DAY_MS = 86_400_000
LEASE_MS = 20_000
FAILED = Result(body="{}", ms=1, code=500, error="answered 500")
REFUSED = Result(body="{}", ms=1, code=400, error="answered 400", gives_way=True)
DONE = Result(body="{}", ms=1, code=200)


def claim(rig: Rig, well: int = 100, ill: int = 100, token: str = "t") -> list[Claimed]:
    return rig.core.store.webhooks.claim(well, ill, lease_ms=LEASE_MS, token=token).claimed


def end(rig: Rig, claimed: Claimed, result: Result = DONE, token: str = "t") -> str:
    return rig.core.store.webhooks.end(claimed, token, result, delay_ms=5_000, limit_ms=DAY_MS)


def types(claimed: list[Claimed]) -> list[str]:
    return [one.delivery.type for one in claimed]


def test_without_webhooks_nothing_is_kept(rig: Rig) -> None:
    rig.finished()

    assert not list(rig.core.store.client.scan_iter("knify:h:*"))
    assert claim(rig) == []


def test_a_jobs_next_event_waits_for_the_one_before(rig: Rig) -> None:
    rig.hook(URL)
    rig.finished()

    order = []
    while found := claim(rig):
        order += types(found)
        assert len(found) == 1
        end(rig, found[0])

    assert order == ["job.created", "job.started", "job.completed"]


def test_a_failed_attempt_holds_back_the_next_event_until_its_retry(rig: Rig) -> None:
    rig.hook(URL)
    rig.finished()
    first = claim(rig)[0]

    assert end(rig, first, FAILED) == "again"

    assert claim(rig) == []
    rig.later(5_001)
    assert types(claim(rig)) == ["job.created"]


def test_an_event_that_a_receiver_refuses_for_good_does_not_hold_back_the_next(rig: Rig) -> None:
    rig.hook(URL, ["job.created", "job.completed"])
    rig.finished()

    end(rig, claim(rig)[0], REFUSED)

    assert types(claim(rig)) == ["job.completed"]


def test_an_event_that_fails_for_minutes_does_not_hold_back_the_next(rig: Rig) -> None:
    hook = rig.hook(URL, ["job.created", "job.completed"])
    rig.finished()
    end(rig, claim(rig)[0], FAILED)
    rig.later(300_001)

    again = claim(rig)
    assert types(again) == ["job.created"]
    end(rig, again[0], FAILED)

    assert types(claim(rig)) == ["job.completed"]
    assert rig.lists(hook)["waiting"] == 2


def test_a_held_event_goes_when_the_one_before_is_given_up(rig: Rig) -> None:
    rig.hook(URL, ["job.created", "job.completed"])
    rig.finished()
    end(rig, claim(rig)[0], FAILED)
    rig.later(DAY_MS)

    assert end(rig, claim(rig)[0], FAILED) == "failed"

    assert types(claim(rig)) == ["job.completed"]


def test_an_attempt_that_fails_for_a_day_is_the_last(rig: Rig) -> None:
    hook = rig.hook(URL, ["job.created"])
    rig.job()
    end(rig, claim(rig)[0], FAILED)
    rig.later(DAY_MS - 60_000)
    assert end(rig, claim(rig)[0], FAILED) == "again"
    rig.later(56_000)

    assert end(rig, claim(rig)[0], FAILED) == "failed"

    gone = rig.deliveries(hook)[0]
    assert (gone.status, gone.attempts, gone.error) == ("failed", 3, "answered 500")
    record = webhooks.get(rig.core, "default", hook)
    assert record.active
    assert record.failing_since is not None
    assert rig.lists(hook) == {"all": 1, "waiting": 0, "due": 0, "leased": 0, "ended": 1}
    rig.job()
    end(rig, claim(rig)[0])
    assert webhooks.get(rig.core, "default", hook).failing_since is None


def test_what_a_dead_process_was_at_is_tried_again_after_its_lease(rig: Rig) -> None:
    hook = rig.hook(URL, ["job.created"])
    rig.job()
    dead = claim(rig, token="dead")[0]
    assert claim(rig) == []
    rig.later(LEASE_MS + 1)

    again = claim(rig)[0]

    assert again.delivery.id == dead.delivery.id
    assert again.delivery.attempts == 2
    assert end(rig, dead, token="dead") == "gone"
    assert end(rig, again) == "delivered"
    assert end(rig, again) == "gone"
    assert rig.lists(hook)["ended"] == 1


def test_after_a_step_of_the_clock_nothing_waits_for_days(rig: Rig) -> None:
    rig.hook(URL, ["job.created"])
    rig.hook(URL, ["job.created"])
    rig.job()
    dead, failed = claim(rig, token="t")
    end(rig, failed, FAILED)

    rig.later(-3 * DAY_MS)  # Redis's clock was three days ahead

    found = claim(rig, token="other")
    assert {one.webhook for one in found} == {dead.webhook, failed.webhook}


def test_after_a_small_step_of_the_clock_what_happens_is_told_at_once(rig: Rig) -> None:
    hook = rig.hook(URL, ["job.created"])
    for _ in range(4):
        rig.job()
    assert len(claim(rig, token="dead")) == 4
    half_an_hour = 1_800_000
    rig.later(-half_an_hour)  # Redis's clock was ahead, and was set right
    client, key = rig.core.store.client, hookkeys.webhook(hook)
    client.hincrby(key, "served_at", half_an_hour)

    rig.job()

    assert len(claim(rig)) == 4  # the leases of before hold no place
    assert rig.lists(hook)["leased"] == 4


def test_a_time_of_service_that_is_still_to_come_delays_nothing(rig: Rig) -> None:
    hook = rig.hook(URL, ["job.created"])
    client = rig.core.store.client
    ahead = rig.core.store.registry.now_ms() + 1_800_000
    client.hset(hookkeys.webhook(hook), "served_at", ahead)

    rig.job()

    assert len(claim(rig)) == 1


def test_no_webhook_hears_what_becomes_of_a_deleted_job(rig: Rig) -> None:
    hook = rig.hook(URL)
    waits, runs, other = rig.job(), rig.job(), rig.job()
    x = rig.worker.run(runs)
    for job in (waits, runs):
        deletion.delete(rig.core, "default", job)
    rig.worker.finish(x, State.CANCELLED)

    jobs.cancel(rig.core, "default", other, "enough")

    told = {(one.job, one.type) for one in rig.deliveries(hook)}
    assert told == {
        *((job, "job.created") for job in (waits, runs, other)),
        (runs, "job.started"),
        (other, "job.cancelled"),
    }


def test_a_webhook_gets_four_attempts_at_a_time_and_a_tenant_eight(rig: Rig) -> None:
    hooks = [rig.hook(URL, ["job.created"]) for _ in range(3)]
    for _ in range(6):
        rig.job()

    found = claim(rig)

    assert len(found) == 8
    assert all(rig.lists(hook)["leased"] <= 4 for hook in hooks)
    assert claim(rig) == []
    for one in found[:3]:
        end(rig, one)
    assert len(claim(rig)) == 3


def test_another_tenant_is_not_held_up(rig: Rig) -> None:
    rig.hook(URL, ["job.created"])
    rig.hook(URL, ["job.created"])
    rig.hook(URL, ["job.created"], tenant="other")
    for tenant in ("default", "other"):
        for _ in range(6):
            rig.job(tenant=tenant)

    assert len(claim(rig)) == 12


def test_of_many_that_wait_each_gets_its_turn(rig: Rig) -> None:
    hooks = [rig.hook(URL, ["job.created"], tenant=f"t{n}") for n in range(5)]
    for n in range(5):
        for _ in range(10):
            rig.job(tenant=f"t{n}")

    for _ in range(5):
        found = claim(rig, well=1)
        end(rig, found[0])

    assert [rig.lists(hook)["ended"] for hook in hooks] == [1] * 5


def test_those_that_fail_take_no_slot_of_the_others(rig: Rig) -> None:
    bad = [rig.hook(URL, ["job.created"], tenant=f"t{n}") for n in range(6)]
    good = rig.hook(URL, ["job.created"])
    for n in range(6):
        for _ in range(8):
            rig.job(tenant=f"t{n}")
    for _ in range(3):
        for one in claim(rig):
            end(rig, one, FAILED)
    for _ in range(4):
        rig.job()

    found = claim(rig, well=4, ill=2)

    by = [one.webhook for one in found]
    assert by.count(good) == 4
    assert len(by) == 6
    assert len({*by}) == 3  # of those that fail, one attempt each
    assert {*by} - {good} < {*bad}


def test_one_success_makes_a_receiver_well_again(rig: Rig) -> None:
    rig.hook(URL, ["job.created"])
    for _ in range(12):
        rig.job()
    for one in claim(rig):
        end(rig, one, FAILED)
    assert len(claim(rig, well=0)) == 1

    rig.later(LEASE_MS + 1)
    end(rig, claim(rig, well=0)[0])

    assert len(claim(rig, ill=0)) == 4


@pytest.mark.parametrize("how", ["deleted", "switched off"])
def test_a_webhook_that_goes_frees_all_that_it_held(rig: Rig, how: str) -> None:
    hooks = [rig.hook(URL, ["job.created"]) for _ in range(2)]
    for _ in range(5):
        rig.job()
    held = claim(rig)
    assert len(held) == 8
    third = rig.hook(URL, ["job.created"])
    rig.job()
    assert claim(rig) == []

    for hook in hooks:
        if how == "deleted":
            webhooks.delete(rig.core, "default", hook)
        else:
            webhooks.change(rig.core, "default", hook, {"active": False})

    assert [one.webhook for one in claim(rig)] == [third]
    assert {end(rig, one) for one in held} == {"gone"}
    client = rig.core.store.client
    left = [key for hook in hooks for key in client.scan_iter(f"knify:h:{hook}*")]
    if how == "deleted":
        assert left == []
    else:
        assert {d.status for d in rig.deliveries(hooks[0])} == {"failed"}
        assert rig.deliveries(hooks[0])[0].error == "given up: the webhook was switched off"
        assert rig.lists(hooks[0])["waiting"] == rig.lists(hooks[0])["leased"] == 0
    assert not client.zscore("knify:webhooks:due", hooks[0])


def test_dead_leases_of_a_webhook_block_nobody(rig: Rig) -> None:
    hooks = [rig.hook(URL, ["job.created"]) for _ in range(3)]
    for _ in range(5):
        rig.job()
    assert len(claim(rig, token="dead")) == 8
    webhooks.change(rig.core, "default", hooks[0], {"active": False})
    webhooks.change(rig.core, "default", hooks[1], {"active": False})

    claim(rig)
    assert rig.lists(hooks[2])["leased"] == 4
    rig.later(LEASE_MS + 1)
    assert len(claim(rig)) == 4


def test_switched_on_again_it_hears_of_what_comes_then(rig: Rig) -> None:
    hook = rig.hook(URL, ["job.created"])
    webhooks.change(rig.core, "default", hook, {"active": False})
    rig.job()
    webhooks.change(rig.core, "default", hook, {"active": True})

    rig.job()

    assert len(claim(rig)) == 1


def test_beyond_five_thousand_the_oldest_fail_and_say_so(rig: Rig) -> None:
    hook = rig.hook(URL, ["job.created"])
    first = rig.job()
    _fill(rig, hook, 4_999)
    assert rig.deliveries(hook)[0].status == rig.deliveries(hook)[-1].status == "pending"

    rig.job()

    assert rig.lists(hook)["waiting"] == 5_000
    gone = [d for d in rig.deliveries(hook) if d.status == "failed"]
    assert [d.job for d in gone] == [first]
    assert "more than 5000 newer deliveries" in (gone[0].error or "")
    webhooks.change(rig.core, "default", hook, {"active": False})
    assert rig.lists(hook) == {"all": 200, "waiting": 0, "due": 0, "leased": 0, "ended": 200}
    assert len(list(rig.core.store.client.scan_iter("knify:h:*:d:*", count=1000))) == 200


def _fill(rig: Rig, hook: str, count: int) -> None:
    """What so many events would have left."""
    pipe, key = rig.core.store.client.pipeline(transaction=False), f"knify:h:{hook}"
    (first,) = rig.core.store.client.zrange(f"{key}:all", 0, 0)
    record = rig.core.store.client.hgetall(f"{key}:d:{first}")
    for n in range(count):
        at = int(record["created_at"]) + 1
        pipe.hset(f"{key}:d:evt_{n:05}", mapping=record | {"id": f"evt_{n:05}", "job": f"j{n}"})
        for name in ("all", "waiting", "due"):
            pipe.zadd(f"{key}:{name}", {f"evt_{n:05}": at})
    pipe.execute()


def test_of_what_has_ended_the_newest_two_hundred_are_kept(rig: Rig) -> None:
    hook = rig.hook(URL, ["job.created"])
    for n in range(230):
        rig.core.store.webhooks.test(hook, f"evt_{n:05}", "webhook.test")
    while found := claim(rig):
        for one in found:
            end(rig, one)

    assert rig.lists(hook) == {"all": 200, "waiting": 0, "due": 0, "leased": 0, "ended": 200}
    assert len(list(rig.core.store.client.scan_iter("knify:h:*:d:*", count=1000))) == 200


def test_a_delivery_can_be_asked_for_again(rig: Rig) -> None:
    hook = rig.hook(URL, ["job.created"])
    rig.job()
    end(rig, claim(rig)[0])
    done = rig.deliveries(hook)[0]

    again = webhooks.redeliver(rig.core, "default", hook, done.id)

    assert (again.id, again.status, again.attempts) == (done.id, "pending", 1)
    found = claim(rig)[0]
    assert found.delivery.body == "{}"
    webhooks.redeliver(rig.core, "default", hook, done.id)  # it is being sent just now
    assert claim(rig) == []
    end(rig, found, FAILED)
    webhooks.redeliver(rig.core, "default", hook, done.id)  # it need not wait for its time
    assert len(claim(rig)) == 1


def test_an_event_that_happens_again_after_a_rollback_keeps_its_name(rig: Rig) -> None:
    hook = rig.hook(URL, ["job.completed"])
    job = rig.finished()

    assert [d.id for d in rig.deliveries(hook)] == [f"evt_{job}_completed"]


def test_a_tenant_has_twenty_webhooks_at_most(rig: Rig) -> None:
    for _ in range(store_webhooks.MOST):
        rig.hook(URL)

    with pytest.raises(conflicts.WebhookLimit):
        rig.hook(URL)
    rig.hook(URL, tenant="other")


def test_a_long_error_and_large_metadata_are_not_told_whole(rig: Rig) -> None:
    rig.hook(URL, ["job.created", "job.failed"])
    job = rig.job(metadata={"text": "é" * 5_000})
    x = rig.worker.run(job)
    rig.core.store.executions.move(x, State.FAILED, error="ü" * 3_000, sandbox={"state": "paused"})

    created = claim(rig)[0]
    end(rig, created)
    failed = claim(rig)[0]

    assert '"is_brief":"1"' in (created.delivery.event or "")
    assert len(created.delivery.event or "") < 1_000
    assert f'"error":"{"ü" * 999}…"' in (failed.delivery.event or "")


@pytest.mark.parametrize("seed", range(2))
def test_any_order_of_events_keeps_all_lists_right(rig: Rig, seed: int) -> None:
    rng = random.Random(seed)
    hooks = [rig.hook(URL, tenant=f"t{n % 2}") for n in range(4)]
    jobs: list[str] = []
    held: list[tuple[Claimed, str]] = []
    for step in range(100):
        match rng.randrange(9):
            case 0 | 1:
                jobs.append(rig.job(tenant=f"t{rng.randrange(2)}"))
            case 2 if jobs:
                job = jobs.pop(rng.randrange(len(jobs)))
                rig.worker.finish(rig.worker.run(job))
            case 3 | 4:
                token = f"t{step}"
                taken = claim(rig, rng.randrange(4), rng.randrange(4), token)
                held += [(one, token) for one in taken]
            case 5 | 6 if held:
                one, token = held.pop(rng.randrange(len(held)))
                end(rig, one, rng.choice([DONE, FAILED, REFUSED]), token)
            case 7:
                rig.later(rng.choice([100, 5_001, LEASE_MS + 1, 300_001, DAY_MS]))
            case 8:
                hook = rng.choice(hooks)
                tenant = f"t{hooks.index(hook) % 2}"
                known = rig.deliveries(hook, tenant)
                if known and rng.random() < 0.7:
                    try:
                        webhooks.redeliver(rig.core, tenant, hook, rng.choice(known).id)
                    except conflicts.WebhookInactive:
                        pass
                else:
                    change = {"active": rng.random() < 0.7}
                    webhooks.change(rig.core, tenant, hook, change)
        for n, hook in enumerate(hooks):
            assert problems(rig, hook, f"t{n % 2}") == []

    for n, hook in enumerate(hooks):
        webhooks.change(rig.core, f"t{n % 2}", hook, {"active": True})
    for _ in range(100):
        if not any(rig.lists(hook)["waiting"] for hook in hooks):
            return
        rig.later(DAY_MS)
        for one in claim(rig):
            end(rig, one)
    raise AssertionError("some deliveries never end")


def problems(rig: Rig, hook: str, tenant: str) -> list[str]:
    """What does not fit together in a webhook's lists."""
    client, key, found = rig.core.store.client, f"knify:h:{hook}", []
    lists = {
        name: dict(client.zrange(f"{key}:{name}", 0, -1, withscores=True))
        for name in ("all", "waiting", "due", "leased", "ended")
    }
    pipe = client.pipeline(transaction=False)
    for d in lists["all"]:
        pipe.hgetall(f"{key}:d:{d}")
    records = dict(zip(lists["all"], pipe.execute(), strict=True))
    followers = {r["next"] for d, r in records.items() if "next" in r and d in lists["waiting"]}
    for d, record in records.items():
        where = sorted(name for name in ("due", "leased") if d in lists[name])
        waits = d in lists["waiting"]
        if waits == (d in lists["ended"]) or len(where) > 1 or (where and not waits):
            found.append(f"{d} is in {where}, waits: {waits}")
        if waits and not where and d not in followers:
            found.append(f"{d} is held by nobody")
        if ("token" in record) != ("leased" in where):
            found.append(f"{d} has a token and is in {where}")
        wanted = "sending" if where == ["leased"] else "pending" if waits else None
        if wanted and record["status"] != wanted:
            found.append(f"{d} is {record['status']}, should be {wanted}")
    stray = {*lists["waiting"], *lists["ended"]} - {*records}
    found += [f"{d} has no record" for d in stray]
    listed = [n for n in ("due", "ill") if client.zscore(f"knify:webhooks:{n}", hook) is not None]
    if len(listed) > 1 or (lists["leased"] and not listed):
        found.append(f"the webhook is in {listed}")
    return found

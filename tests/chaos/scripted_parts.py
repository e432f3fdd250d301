"""Processes of the scripted run: a real Celery worker on the scripted host, and a submitter.

`python -m tests.chaos.scripted_parts worker|submitter`; both may have failpoints.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import json
import os
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

from knify import core, errors, failpoints, ids, model, settings
from knify.sandbox import inventory
from knify.services import (
    deletion,
    firing,
    history,
    jobs,
    keys,
    nodes,
    retention,
    schedules,
    secrets,
    uploads,
    webhooks,
)
from knify.store import jobkeys
from knify.store import keys as store_keys
from tests.chaos import heard

HOST = "CHAOS_HOST"  # the scripted host's folder


#: What a worker imports, apart from what reads its settings at once.
PRELOAD = (
    *(__name__, "workers.node", "tests.chaos.scripted_host", "celery.bin.worker"),
    *("celery.apps.worker", "celery.concurrency.thread", "kombu.transport.redis"),
)


def forked_worker(environ: dict[str, str], log: str) -> None:
    """`worker` in a process that was forked when all imports were done."""
    os.environ.clear()
    os.environ.update(environ)
    out = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(out, stream)
    importlib.reload(failpoints)
    worker()


def worker() -> None:
    """A worker as `knify worker` runs it, with another driver."""
    from tests.chaos.scripted_host import FolderDriver
    from workers import main, node

    root = Path(os.environ[HOST])
    node.Node = functools.partial(  # type: ignore[assignment, misc]
        node.Node, make_driver=lambda config, installation: FolderDriver(root)
    )
    inventory.storage = lambda podman: (root,)  # type: ignore[assignment]
    main.worker()


def submitter() -> None:
    """Carries out one order (a JSON object) per line of stdin, and answers each with a line."""
    own = core.connect(settings.load())
    acts = {"submit": _submit, "cancel": _cancel, "clean": _clean, "upload": _upload}
    acts |= {"drain": _drain, "forget": _forget, "hook": _hook, "delete": _delete, "list": _list}
    acts |= {"schedule": _schedule, "drop": _drop}
    acts |= {"make_key": _make_key, "rotate_key": _rotate_key, "revoke_key": _revoke_key}
    acts |= {"secret": _secret}
    for line in sys.stdin:
        order = json.loads(line)
        answer = acts[order.pop("act")](own, **order)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _submit(own: core.Core, key: str, request: dict[str, Any], parent: str | None = None) -> Any:
    submission = jobs.Submission(request, idempotency_key=key, digest=key)
    try:
        if parent:
            accepted = jobs.continue_(own, "default", parent, submission)
        else:
            accepted = jobs.submit(own, "default", submission)
    except (errors.Conflict, errors.SandboxExpired, errors.NotFound) as refused:
        return {"refused": refused.code}
    return {"id": accepted.answer.id}


def _cancel(own: core.Core, job: str) -> Any:
    with contextlib.suppress(errors.NotFound):  # it was deleted
        jobs.cancel(own, "default", job, "cancelled by request")
    return {}


def _clean(own: core.Core, job: str) -> Any:
    with contextlib.suppress(errors.NotFound):  # it was deleted
        jobs.clean_up(own, "default", job, force=True)
    return {}


def _upload(own: core.Core, number: int) -> Any:
    """The same record each time: an upload that is repeated after a lost answer."""
    key = f"workspaces/workspace_{number}"
    own.store.workspaces.begin(key)
    record = model.Workspace(f"workspace_{number}", "default", "chaos", 0, 3, "", key, created_at=1)
    record = uploads.store(own, record, io.BytesIO(_tar(b"%d" % (number // 2))))
    return {"version": uploads.add(own, record).workspace.version}


def _tar(content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("uploaded")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _drain(own: core.Core, node: str) -> Any:
    """For a moment only."""
    try:
        for on in (True, False):
            nodes.drain(own, node, on=on)
    except errors.NotFound:  # no worker has come so far
        return {"drained": False}
    return {"drained": True}


def _hook(own: core.Core, url: str) -> Any:
    """All that is done to a webhook; each part may be repeated by the next process."""
    webhooks.create(
        own, "default", url=url, events=["job.failed"], secret=heard.SECRET, id="webhook_chaos"
    )
    for active in (False, True):
        webhooks.change(own, "default", "webhook_chaos", {"active": active})
    sent = webhooks.test(own, "default", "webhook_chaos", id="test_chaos")
    webhooks.redeliver(own, "default", "webhook_chaos", sent.id)
    webhooks.delete(own, "default", "webhook_chaos")
    return {}


def _forget(own: core.Core, job: str, half: bool) -> Any:
    """The first half of it is a step of its own: sweeps do the rest."""
    if half:
        day_ms = 86_400_000
        verdict = own.store.retention.expire(
            job, job_ms=int(own.settings.job_days * day_ms), idle=False
        )
        return {"forgotten": verdict in ("expiring", "missing")}
    return {"forgotten": retention.forget(own, job)}


def _delete(own: core.Core, job: str) -> Any:
    with contextlib.suppress(errors.NotFound):  # this order, repeated
        deletion.delete(own, "default", job)
    return {}


def _schedule(own: core.Core, key: str, request: dict[str, Any]) -> Any:
    """A job whose time has come, once; whoever repeats this, or beat, makes one run of it."""
    name = f"jobdef_{key}"
    body = {"name": key, "spec": request, "schedule": "0 0 1 1 *"}
    d = schedules.create(own, "default", "chaos", body, id=name)
    if d.last_at == 0:
        own.store.client.hset(jobkeys.definition(name), "next_at", "60000")
        own.store.client.zadd(store_keys.CRON, {name: 0})
    beat = firing.Firing(own)
    while not (found := own.store.runs.page(name, offset=0, limit=10)[0]):
        beat.work()
    own.store.runs.drop_retry(found[-1], name)  # there is none
    return {"ids": found}


def _drop(own: core.Core, key: str) -> Any:
    with contextlib.suppress(errors.NotFound):  # this order, repeated
        schedules.delete(own, "default", "chaos", f"jobdef_{key}", aside=history.here)
    return {}


def _list(own: core.Core, **asked: Any) -> Any:
    page = own.store.listing.page("default", **asked)
    return {"ids": [x.id for x in page.executions]}


def _make_key(own: core.Core, seed: str) -> Any:
    """As a POST with an Idempotency-Key does it."""
    replays, owner = own.store.replays, ids.nonce()
    while (begun := replays.begin(seed, seed, owner, busy_seconds=0.5)).verdict == "busy":
        time.sleep(0.1)
    if begun.verdict == "done":
        return json.loads(begun.answer)
    made = keys.create(own, "default", seed=begun.seed)
    answer = {"id": made.record.id, "text": made.text}
    replays.answered(seed, owner, json.dumps(answer))
    return answer


def _rotate_key(own: core.Core, key: str, seed: str) -> Any:
    return {"text": keys.rotate(own, "default", key, seed=seed).text}


def _secret(own: core.Core, name: str) -> Any:
    """Kept twice and deleted; all of it may be repeated by the next process."""
    seen: list[str | None] = []
    for value in (f"{name}-1", f"{name}-2"):
        secrets.put(own, "default", name, value)
        seen.append(secrets.value(own, "default", name))
    with contextlib.suppress(errors.NotFound):  # this order, repeated
        own.store.secrets.drop("default", name)
    return {"values": [*seen, secrets.value(own, "default", name)]}


def _revoke_key(own: core.Core, key: str) -> Any:
    own.store.access.used_keys([key])
    keys.revoke(own, "default", key)
    return {}


if __name__ == "__main__":
    {"worker": worker, "submitter": submitter}[sys.argv[1]]()

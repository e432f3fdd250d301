"""Many scripted jobs on real Redis and real Celery workers, each worker killed at a failpoint."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from knify import core, errors, failpoints, hints, install, settings
from knify.services import keys as api_keys
from knify.services import retention, webhooks
from knify.store import keys
from tests.chaos import checker, heard, leaks, observe, scripted_host, scripted_parts
from tests.chaos.history import CANCELLED, COMPLETED, Violation, Wish
from tests.chaos.load import all_ids
from tests.parts import redis as redis_part
from tests.webhooks.receiver import Receiver

_SUBMITTERS = (
    *("script.submit", "script.cancel", "script.add_workspace", "script.retire_sandbox"),
    *("script.drain", "script.drop_workspace", "script.expire", "script.forget"),
    *("script.add_webhook", "script.change_webhook", "script.drop_webhook"),
    *("script.test_webhook", "script.redeliver", "script.delete", "script.page", "script.match"),
    *("script.add_key", "script.rotate_key", "script.revoke_key", "script.used_keys"),
    *("script.replay_begin", "script.replay_end"),
)
#: Steps of a submitter that workers take, too: the sweep goes on with what was begun.
_SHARED = ("script.retire_sandbox", "script.expire", "script.forget")
_NEVER_IN_WORKERS = tuple(name for name in _SUBMITTERS if name not in _SHARED)
#: Points that this run does not come to, and why.
OUT_OF_REACH = {
    "script.lose": "its node would have to be silent for KNIFY_NODE_LOST_SECONDS",
    "script.lose_sandbox": "the scripted host loses containers, but never volumes",
    "script.rescue": "only after a rollback of Redis",
    "driver.put_tar": "only when a worker dies between a sandbox's making and its turn",
    "script.index": "only in an upgrade of the store",
}
_PARTS = scripted_parts.__name__
_WORKERS = 3  # at a time
_SPARED = 14.0  # seconds between two deaths of the worker that has no point
_AWAY = 7.0  # seconds until it is back: the others take over what it had
_FIRES = (
    30.0  # seconds within which a worker must come to its point; a second one gets twice as long
)
_ENDS = 300.0  # seconds for the rest, in the end
_REFUSED = 0.1  # of all webhooks are answered with 500
_AHEAD = 400  # jobs that may be under way
_FEW = 20  # that are enough for a point to be reached
_MARKDOWN = "# A runbook\n\n```sh\necho x\n```\n"
#: Kinds of jobs by words of the points that only they come to.
_NEEDED = {"seed": "mount", "cache": "mount", "put_file": "book", "signal": "hang"}
_KINDS = {"count": 60, "file": 15, "continue": 15, "hang": 6, "cancel": 4, "mount": 4, "book": 5}


@dataclass(frozen=True)
class Found:
    """What a run found."""

    jobs: int
    crashes: int
    seconds: float
    violations: list[Violation]
    silent: list[str]  # points that no process came to

    @property
    def summary(self) -> str:
        """One line."""
        silent = f", never reached: {', '.join(self.silent)}" if self.silent else ""
        return (
            f"scripted: {self.jobs} jobs over {self.crashes} crashes at failpoints in"
            f" {self.seconds:.0f} s, {len(self.violations)} violations{silent}"
        )


def run(jobs: int, seed: int, points: int | None = None) -> Found:
    """Crash at every point (or at `points` of them) under `jobs` jobs."""
    began = time.monotonic()
    with _Rig(seed) as rig:
        worker = [f"{name}:{when}" for name, when in _each() if name not in _NEVER_IN_WORKERS]
        own = [f"{name}:{when}" for name, when in _each() if name in _SUBMITTERS]
        rig.rng.shuffle(worker)
        worker = worker[:points]
        worker.sort(key=lambda point: "retire" in point)  # these need a sandbox that expired
        rig.submitter_points = list(own)
        rig.go(worker, jobs)
        found = rig.look()
        silent = rig.silent + [point for point in own if not rig.fired(point)]
        return Found(len(rig.wishes), rig.crashes, time.monotonic() - began, found, silent)


def _each() -> Iterator[tuple[str, str]]:
    names = [name for name in failpoints.names() if name not in OUT_OF_REACH]
    return ((name, when) for name in names for when in ("before", "after"))


class _Worker:
    """A worker's process, forked from one that has imported everything: a tenth of the time."""

    def __init__(self, env: dict[str, str], log: str) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(scripted_parts.PRELOAD))
        self._process = context.Process(
            target=scripted_parts.forked_worker, args=(env, log), daemon=True
        )
        self._process.start()

    def poll(self) -> int | None:
        """The exit code; None while it lives."""
        return self._process.exitcode

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def wait(self) -> None:
        """For its end."""
        self._process.join()


class _Rig:
    """Redis, beat, the host's folder, and the processes that come and go."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.wishes: dict[str, Wish] = {}
        self.silent: list[str] = []
        self.forgotten: set[str] = set()
        self.deleted: set[str] = set()
        self._found: list[Violation] = []  # while it runs
        self._needed: list[str] = []  # kinds of jobs that workers wait for
        self.crashes = 0
        self.submitter_points: list[str] = []
        self._folder = Path(tempfile.mkdtemp(prefix="kn-", dir=_memory()))
        self._redis = redis_part.start(self._folder)
        self._env = {k: v for k, v in os.environ.items() if not k.startswith("KNIFY_")} | {
            "KNIFY_HOME": str(self._folder / "h"),
            "KNIFY_REDIS_URL": self._redis.url,
            "KNIFY_BASE_IMAGE": "scripted",
            "KNIFY_NODE": "n",
            "KNIFY_SLOTS": "16",
            "KNIFY_NODE_CPUS": "64",
            "KNIFY_NODE_MEMORY": "64G",
            "KNIFY_NODE_DISK": "1T",
            "KNIFY_DISK_RESERVE": "0",
            "KNIFY_LEASE_SECONDS": "5",
            "KNIFY_SWEEP_SECONDS": "0.5",
            "KNIFY_SANDBOX_DAYS": "0.00025",  # 22 s
            "KNIFY_ARCHIVE_HOURS": "0.0003",  # 1 s
            "KNIFY_HOT_SECONDS": "0.5",
            "KNIFY_PACK_SECONDS": "2",
            "KNIFY_ARTIFACT_DAYS": "0.0001",  # 9 s
            "KNIFY_OUTPUT_TAIL_BYTES": "1024",
            "KNIFY_WORKSPACE_VERSIONS": "2",
            "KNIFY_WORKSPACE_CACHE_BYTES": "40K",  # some trees
            "KNIFY_WEBHOOK_ALLOW_PRIVATE": "1",
            "KNIFY_LOG_LEVEL": "warning",
            scripted_parts.HOST: str(self._folder / "host"),
        }
        self._log = (self._folder / "log").open("ab")
        self._processes: list[subprocess.Popen[Any]] = []
        self._workers: list[_Worker] = []
        self._steady: _Worker | None = None
        self._back = 0.0  # monotonic: when it may start again
        self._jobs: list[str] = []
        self._ended: list[str] = []  # perhaps
        self._hanging: list[str] = []
        self._uploads = 0

    def __enter__(self) -> _Rig:
        scripted_host.make(self._folder / "host")
        config = settings.load(self._env)
        install.install(config)
        self._core = core.connect(config, hints.RecordedHints())
        self._receiver = Receiver()
        self._receiver.default = lambda: 500 if self.rng.random() < _REFUSED else 200
        self._hook = webhooks.create(
            self._core,
            "default",
            url=self._receiver.url,
            events=webhooks.EVENTS,
            secret=heard.SECRET,
        ).record.id
        self._start("workers.main", "beat")
        return self

    def __exit__(self, *_: object) -> None:
        for process in [*self._processes, *self._workers]:
            if process.poll() is None:
                process.kill()
            process.wait()
        self._receiver.close()
        self._redis.stop()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def go(self, points: list[str], jobs: int) -> None:
        """A few workers at a time, each to its point, beside one that lives."""
        self._submitter = self._start_submitter()
        waiting, alive, total = deque(points), dict[str, tuple[_Worker, float]](), len(points) + 1
        spared, again = time.monotonic(), set[str]()
        while waiting or alive:
            while waiting and len(alive) < _WORKERS:
                point = waiting.popleft()
                deadline = time.monotonic() + _FIRES * (1 + (point in again))
                if point in again or any(word in point for word in ("take_over", "reattach")):
                    self._kill_steady()
                alive[point] = self._start_worker(point), deadline
            if (
                time.monotonic() > spared + _SPARED
            ):  # so that there is always something to take over
                spared = time.monotonic()
                self._kill_steady()
            self._keep_steady()
            self._needed = [
                kind for word, kind in _NEEDED.items() for point in alive if word in point
            ]
            self._feed(jobs * (total - len(waiting)) // total)
            for point, (worker, deadline) in list(alive.items()):
                if worker.poll() is None and time.monotonic() < deadline:
                    continue
                del alive[point]
                if self.fired(point):
                    self.crashes += 1
                elif worker.poll() is None:
                    worker.kill()
                    (self.silent if point in again else waiting).append(point)
                    again.add(point)
                else:  # killed by another one as its lease ran out: on a slow machine only
                    waiting.append(point)
        self._end(jobs)

    def fired(self, point: str) -> bool:
        """Whether a process died at it."""
        return (self._folder / point).exists()

    def _end(self, jobs: int) -> None:
        """All that is left, with the worker that lives."""
        deadline = time.monotonic() + _ENDS
        while len(self.wishes) < jobs:
            self._keep_steady()
            assert time.monotonic() < deadline + jobs / 10, "too slow"
            self._feed(jobs)
        for job in self._hanging:
            self._order(act="cancel", job=job)
        self._receiver.default = 200
        client, waiting = self._core.store.client, self._core.store.webhooks.waiting
        while client.zcard(keys.DUE) or any(self._left()) or any(waiting([self._hook])):
            if time.monotonic() > deadline + jobs / 10:
                return  # the checker says what is not at its end
            self._keep_steady()
            time.sleep(0.1)
        now = self._core.store.registry.now_ms()
        while client.zcard(keys.FORGOTTEN):  # as after an hour
            retention.tidy(self._core, now + 3_600_000, expire=False)
            assert time.monotonic() < deadline + jobs / 5, "what was forgotten stays"

    def _left(self) -> Iterator[Violation]:
        """What time heals."""
        client = self._core.store.client
        yield from leaks.redis_keys(client, "n")
        yield from leaks.lists(client, "n", leaks.sandboxes(client))

    def _kill_steady(self) -> None:
        if self._steady is not None:
            self._steady.kill()
            self._back = time.monotonic() + _AWAY

    def _keep_steady(self) -> None:
        """One worker without a point. It may be killed too: by a taker, when it was too slow."""
        is_gone = self._steady is None or self._steady.poll() is not None
        if is_gone and time.monotonic() > self._back:
            self._steady = self._start_worker()

    def _feed(self, target: int) -> None:
        """Some work, if there is room for it; something rare in any case."""
        under_way = self._core.store.client.zcard(keys.DUE)
        full = under_way < _AHEAD and len(self.wishes) < target
        for _ in range(40 if full else int(under_way < _FEW)):
            self._submit()
        if len(self._hanging) > 2:
            self._order(act="cancel", job=self._hanging.pop(0))
        if self._jobs and self.rng.random() < 0.3:
            self._order(act="clean", job=self._jobs.pop(self.rng.randrange(len(self._jobs))))
        self._ended += self._jobs[:-500]
        del self._jobs[:-500]
        if self._jobs and self.rng.random() < 0.05:
            self._forget(self._jobs.pop(0))
        if self.rng.random() < 0.03:
            self._delete()
        if self.rng.random() < 0.1:
            self._list()
        if self.rng.random() < 0.02:
            self._use_keys()
        if self.rng.random() < 0.02:
            self._order(act="drain", node="n")
        if self.rng.random() < 0.1:
            self._order(act="hook", url=self._receiver.url)
        time.sleep(0.05)

    def _forget(self, job: str) -> None:
        if self._order(act="forget", job=job)["forgotten"]:
            self.forgotten.add(job)

    def _delete(self) -> None:
        """A job that runs, one that waits or runs, or any."""
        jobs = self._jobs if self.rng.random() < 0.7 else self._hanging
        if not jobs:
            return
        newest = self.rng.random() < 0.5
        job = jobs.pop(-1 if newest else self.rng.randrange(len(jobs)))
        self._order(act="delete", job=job)
        self.deleted.add(job)

    def _list(self) -> None:
        """A job is found by its metadata, unless it was deleted; no list shows one that was."""
        shown = self._order(act="list")["ids"]
        wish = self.wishes[self.rng.choice(list(self.wishes))] if self.wishes else None
        if wish is not None and wish.ids and not self.forgotten & set(wish.ids):
            kind = "runbook_task" if wish.kind == "book" else "command_task"
            found = self._order(act="list", job_type=kind, metadata={"key": wish.key})["ids"]
            shown += found
            if not found and not self.deleted & set(wish.ids):
                self._found.append(Violation("lost", wish.ids[0], "is not found by its metadata"))
        for job in self.deleted & set(shown):
            self._found.append(Violation("unexpected", job, "was deleted and is in a list"))

    def _use_keys(self) -> None:
        """An API key is made (the request comes twice), gets another secret, and is revoked."""
        seed = f"{self.rng.getrandbits(64):016x}"
        made, again = (self._order(act="make_key", seed=seed) for _ in range(2))
        rotated = self._order(act="rotate_key", key=made["id"], seed=seed)
        good = [made == again, not self._opens(made["text"]), self._opens(rotated["text"])]
        self._order(act="revoke_key", key=made["id"])
        good.append(not self._opens(rotated["text"]))
        if not all(good):
            text = f"key {made['id']}: made once, rotated, opens, revoked: {good}"
            self._found.append(Violation("illegal", "", text))

    def _opens(self, text: str) -> bool:
        try:
            api_keys.authenticate(self._core, text)
        except errors.Unauthorized:
            return False
        return True

    def _submit(self) -> None:
        kind = self.rng.choices(list(_KINDS), weights=list(_KINDS.values()))[0]
        if self._needed and self.rng.random() < 0.3:
            kind = self.rng.choice(self._needed)
        kind = "hang" if not self._hanging else kind
        key, n = f"{self.rng.getrandbits(64):016x}", self.rng.randint(0, 9)
        parent = None
        if kind == "continue" and self._jobs:  # the newest one's sandbox is still in use, or hot
            parent = self._jobs[-1] if self.rng.random() < 0.4 else self.rng.choice(self._jobs)
        request: dict[str, Any] = {"job_type": "command_task", "metadata": {"key": key}}
        request["command"] = ["job", key, kind, str(n)]
        if kind == "book":
            del request["command"]
            request |= {"job_type": "runbook_task", "prompt": _MARKDOWN}
        if kind == "mount":
            self._uploads += 1
            self._order(act="upload", number=self._uploads)
            request["workspace_path"] = "/workspaces/chaos"
        # Any of them may be cleaned up, so its turns be cancelled, before its end.
        wish = Wish(key, kind, CANCELLED, n if kind != "book" else 0, marked=kind != "book")
        if kind == "hang":
            wish.allowed = CANCELLED[len(COMPLETED) :]
        self.wishes[key] = wish
        answer = self._order(act="submit", key=key, request=request, parent=parent)
        if "refused" in answer:
            wish.refused = True
            return
        wish.ids.append(answer["id"])
        (self._hanging if kind == "hang" else self._jobs).append(answer["id"])
        if kind == "cancel":
            self._order(act="cancel", job=answer["id"])

    def _order(self, **order: Any) -> Any:
        """The submitter's answer; the order is repeated when it died over it."""
        while True:
            process = self._submitter
            with contextlib.suppress(BrokenPipeError):
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(json.dumps(order) + "\n")
                process.stdin.flush()
                answer = process.stdout.readline()
                if answer:
                    return json.loads(answer)
            process.wait()
            assert process.returncode == -9, f"the submitter ended with {process.returncode}"
            self.crashes += 1
            self._submitter = self._start_submitter()

    def _start_submitter(self) -> subprocess.Popen[Any]:
        point = self.submitter_points.pop(0) if self.submitter_points else ""
        return self._start(_PARTS, "submitter", point, pipes=True)

    def _start_worker(self, point: str = "") -> _Worker:
        env = self._env | (self._point(point) if point else {})
        worker = _Worker(env, str(self._folder / "log"))
        self._workers = [w for w in self._workers if w.poll() is None] + [worker]
        return worker

    def _start(
        self, module: str, part: str, point: str = "", *, pipes: bool = False
    ) -> subprocess.Popen[Any]:
        pipe = subprocess.PIPE if pipes else None
        process = subprocess.Popen(
            [sys.executable, "-m", module, part],
            env=self._env | (self._point(point) if point else {}),
            stdin=pipe or subprocess.DEVNULL,
            stdout=pipe or self._log,
            stderr=self._log,
            text=True,
        )
        self._processes = [p for p in self._processes if p.poll() is None] + [process]
        return process

    def _point(self, point: str) -> dict[str, str]:
        marker = str(self._folder / point)
        return {"KNIFY_FAILPOINT": f"{point}:kill", "KNIFY_FAILPOINT_ONCE": marker}

    def look(self) -> list[Violation]:
        """The same checker as for real jobs, then what is left over."""
        store, host = self._core.store, self._folder / "host"
        seen = []
        found = list(self._found)
        for id_ in all_ids(store):
            one = observe.read(self._core, id_)
            wish = self.wishes.get(one.key)
            found += checker.job(wish, one) if wish else []
            seen.append(replace(one, entries=()))
        found += heard.check(self._receiver.got, seen)
        gone = self.forgotten | self.deleted
        rest = (wish for wish in self.wishes.values() if not gone & set(wish.ids))
        found += checker.lost(rest, seen)
        for id_ in sorted(self.deleted):
            if store.client.exists(keys.execution(id_)):
                found.append(Violation("leaked", id_, "was deleted and is there"))
        found += checker.unexpected(self.wishes, seen)
        found += checker.idempotency(self.wishes.values(), seen)
        for again in (host / "ran").glob("*.again"):
            found.append(Violation("doubled", again.stem, "was started in two sandboxes"))
        for missing in (host / "ran").glob("*.missing"):
            found.append(Violation("lost", "", f"{missing.stem} missed files of earlier turns"))
        for running in (host / "boxes").glob("*/running"):
            found.append(Violation("leaked", "", f"{running.parent.name} runs without a turn"))
        for box in {
            p.name: p for kind in ("boxes", "volumes") for p in (host / kind).iterdir()
        }.values():
            sandbox = store.sandboxes.find(box.name)
            if sandbox is None or sandbox.state in ("deleted", "archived"):
                state = sandbox and sandbox.state
                found.append(Violation("leaked", "", f"{box.name} is there, its record is {state}"))
        found += leaks.redis_keys(store.client, "n")
        records = leaks.sandboxes(store.client)
        found += leaks.lists(store.client, "n", records)
        found += leaks.stored(self._core, records)
        if found:
            shutil.copy(self._folder / "log", Path(tempfile.gettempdir()) / "chaos-scripted.log")
        return found


def _memory() -> str | None:
    """A folder whose files lie in memory, if there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

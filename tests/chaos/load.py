"""Users: they submit real jobs over HTTP, whatever happens, and look closely at what comes back."""

from __future__ import annotations

import dataclasses
import hashlib
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import redis

from knify import core as core_module
from knify import errors, hints
from knify.client import Client, retry
from knify.client import errors as client_errors
from knify.lifecycle import TERMINAL
from knify.store import keys
from knify.store import open as store_open
from knify.store import redis as store_redis
from tests.chaos import checker, observe
from tests.chaos.history import CANCELLED, COMPLETED, Seen, Violation, Wish
from tests.parts.stack import Stack

T = TypeVar("T")
PATIENCE = 300.0  # seconds for a job's end under faults; who is later is found at the end
START = "echo 'start {key}'; echo {key} >> starts; "
COUNT = (
    START + "i=0; while [ $i -lt {n} ]; do i=$((i+1)); echo line $i; echo err $i >&2;"
    " sleep 0.1; done"
)
SMALL = START + "echo done"
FILE = (
    START + "head -c 49152 /dev/urandom > out.bin; "
    "set -- $(sha256sum out.bin); echo sum $1; sleep 0.{n}"
)
#: Leaves a file with contents, mode and time of its own, a link to it, and one to be deleted.
KEEP = (
    START + "head -c 20000 /dev/urandom > kept; chmod 741 kept; touch -d @1000000000 kept;"
    " ln -s kept link; echo x > goes; mkdir deep; echo y > deep/y; chmod 500 deep;"
    " set -- $(sha256sum kept); echo sum $1"
)
_SAME = (
    START + "set -- $(sha256sum link); test $1 = {sum} || exit 11;"
    ' test "$(stat -c "%a %Y" kept)" = "741 1000000000" || exit 12;'
    ' test "$(stat -c %a deep) $(cat deep/y)" = "500 y" || exit 13; '
)
#: Of the second turn, and of those after it.
KEPT = (
    _SAME + "rm goes || exit 14; echo z > new; chmod 640 new",
    _SAME + 'test ! -e goes || exit 15; test "$(stat -c %a new) $(cat new)" = "640 z" || exit 16',
)
REST = 20.0  # seconds after which an idle sandbox is usually archived


@dataclasses.dataclass(frozen=True, slots=True)
class Rest:
    """A sandbox whose last turn has ended."""

    job: str
    sum: str
    turns: int
    since: float  # monotonic


class Stopped(Exception):
    """The run is over; users go home."""


class Load:
    """What all users share: wishes, findings, counts."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self.stack = stack
        self.settings = stack.settings
        self.wishes: list[Wish] = []
        self.done: dict[str, tuple[str, int, int]] = {}  # id: state, events, entries
        self.violations: list[Violation] = []
        self.answers: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.open_until: threading.Event = threading.Event()  # set: nothing new
        self.given_up = threading.Event()  # set: stop waiting, too
        self.idle: list[str] = []  # ended jobs whose sandbox may be continued
        self.resting: list[Rest] = []  # sandboxes whose files are known
        self.stages: Counter[str] = Counter()  # events of all jobs that were looked at
        self._seed = seed
        self._numbers = 0
        self._ended = threading.Condition()
        self._last_end = 0.0
        self._threads: list[threading.Thread] = []

    def start(self, users: int) -> None:
        """Begin; each user is a thread."""
        for _ in range(users):
            thread = threading.Thread(target=self._use, args=(self.user(),), daemon=True)
            thread.start()
            self._threads.append(thread)

    def join(self, seconds: float) -> None:
        """Wait for the users, who finish the jobs they began."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def user(self) -> User:
        """Another one, with a seed of its own."""
        with self._ended:
            self._numbers += 1
            return User(self, random.Random(f"{self._seed}/{self._numbers}"))

    def ended(self) -> None:
        """A job of the load has ended."""
        with self._ended:
            self._last_end = time.monotonic()
            self._ended.notify_all()

    def progress(self, since: float, seconds: float) -> float | None:
        """The first end of a job that is noticed after `since` (monotonic); None: none in time."""
        deadline = since + seconds
        with self._ended:
            while self._last_end <= since and not self.open_until.is_set():
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._ended.wait(min(left, 1.0))
            return max(self._last_end, since)

    def _use(self, user: User) -> None:
        while not self.open_until.is_set():
            try:
                user.play()
            except Stopped:
                return
            except Exception as failed:  # the harness's own fault: must be seen
                self.violations.append(Violation("harness", "", f"{failed!r}"))


class User:
    """One client with its own connections and habits."""

    def __init__(self, load: Load, rng: random.Random) -> None:
        self.load = load
        self.rng = rng
        key = (load.stack.home / "admin.key").read_text().strip()
        policy = retry.Policy(attempts=2, stream_attempts=3, stream_seconds=0)
        self.client = Client(load.stack.url, key, timeout=15, policy=policy)
        config = load.settings
        self.store = store_open.build(
            store_redis.connect(config.redis, timeout=5), sandbox_ttl_ms=1
        )
        known = core_module.connect(config, hints.RecordedHints())
        self.core = dataclasses.replace(known, store=self.store)
        self._fences: dict[str, list[int]] = {}

    # What users do.

    def play(self) -> None:
        """One of the things that users do."""
        how = (
            *(self.small, self.count, self.file, self.chain),
            *(self.cancelled, self.cleaned, self.rest),
        )
        self.rng.choices(how, weights=(6, 2, 3, 3, 2, 1, 3))[0]()

    def small(self) -> None:
        """A job that is over at once."""
        self.leave(self.finish(self.submit("small", SMALL)))

    def count(self) -> None:
        """A job that prints on both streams for some seconds."""
        n = self.rng.randint(15, 50)
        self.leave(self.finish(self.submit("count", COUNT, n=n, counted=n)))

    def file(self) -> None:
        """A job that leaves a file."""
        n = self.rng.randint(1, 9)
        self.leave(self.finish(self.submit("file", FILE, n=n, hashed=True)))

    def chain(self) -> None:
        """Turns in one sandbox, submitted before the first has ended, or into an old one."""
        first = self.load.idle.pop(0) if self.load.idle else self.submit("small", SMALL)
        turns = [self.submit("continue", COUNT, n=n, counted=n, parent=first) for n in (3, 8)]
        for turn in [first, *turns]:
            self.finish(turn)
        self.leave(first)

    def cancelled(self) -> None:
        """A job that is cancelled somewhere on its way."""
        job = self.submit("cancel", COUNT, n=60, counted=60, allowed=CANCELLED)
        time.sleep(self.rng.uniform(0, 3))
        self.insist(lambda: self.client.cancel(job or ""))
        self.leave(self.finish(job))

    def cleaned(self) -> None:
        """A sandbox that is taken away under its job."""
        job = self.submit("cleanup", COUNT, n=60, counted=60, allowed=CANCELLED)
        time.sleep(self.rng.uniform(0, 2))
        self.clean(job)
        self.finish(job)

    def rest(self) -> None:
        """Files that outlive a pause: what a turn left, changed and deleted is so for the next."""
        now = time.monotonic()
        if len(self.load.resting) < 6:
            job = self.finish(self.submit("rest", KEEP))
            wrote = self._said(job, "sum") if job else None
            if wrote:
                self.load.resting.append(Rest(job, wrote, 1, now))
            return
        found = self.load.resting.pop(0)
        kept = KEPT[min(found.turns, 2) - 1].replace("{sum}", found.sum)
        for _ in range(20 if self.rng.random() < 0.5 else 0):  # the rest goes on hot
            if time.monotonic() < found.since + REST and not self.load.open_until.is_set():
                time.sleep(1)
        job = self.finish(self.submit("rest", kept, parent=found.job))
        if job is None:
            text = "its idle sandbox took no further turn"
            self.load.violations.append(Violation("lost", found.job, text))
        if found.turns < 4 and job:
            self.load.resting.append(Rest(job, found.sum, found.turns + 1, time.monotonic()))
        else:
            self.clean(job)

    def leave(self, job: str | None) -> None:
        """Most people tidy up; some sandboxes stay for others."""
        if job and len(self.load.idle) < 8 and self.rng.random() < 0.3:
            self.load.idle.append(job)
        else:
            self.clean(job)

    def clean(self, job: str | None) -> None:
        """`cleanup` with force."""
        if job:
            self.insist(lambda: self.client.cleanup(job, force=True))

    # How they do it.

    def submit(
        self,
        kind: str,
        command: str,
        *,
        parent: str | None = None,
        allowed: tuple[tuple[str, str], ...] = COMPLETED,
        counted: int = 0,
        hashed: bool = False,
        marked: bool = True,
        n: int = 0,
        **spec: Any,
    ) -> str | None:
        """Accepted for sure: repeated with one key until there is an answer. None: refused."""
        key = f"{self.rng.getrandbits(64):016x}"
        wish = Wish(key, kind, allowed, counted, hashed, marked)
        work = {"job_type": "command_task", "command": command.format(key=key, n=n)}
        body = (
            ({} if "job_type" in spec else work)
            | {
                "metadata": {"key": key},
                "network_mode": self.rng.choice(("isolated", "isolated", "full")),
            }
            | spec
        )

        def once() -> Any:
            if parent:
                return self.client.continue_job(parent, body, idempotency_key=key)
            return self.client.create_job(body, idempotency_key=key)

        self.load.wishes.append(wish)
        self.load.kinds[kind] += 1
        for again in (False, True):
            if again and self.rng.random() > 0.2:
                break
            answer = self.insist(once)
            if answer is None:
                wish.refused = not wish.ids
                return wish.ids[0] if wish.ids else None
            wish.ids.append(answer.job_id)
        return wish.ids[0]

    def allow(self, job: str, *ends: tuple[str, str]) -> None:
        """A fault hits this very job: it may also end so."""
        wish = next(wish for wish in reversed(self.load.wishes) if job in wish.ids)
        wish.allowed += ends

    def insist(self, call: Callable[[], T]) -> T | None:
        """The answer, however long it takes; None when it is a refusal."""
        while not self.load.given_up.is_set():
            try:
                return call()
            except client_errors.ApiError as failed:
                self.load.answers[f"{failed.status} {failed.code}"] += 1
                if failed.status < 500 and failed.status != 429:
                    return None
            except client_errors.ConnectionFailed:
                self.load.answers["no answer"] += 1
            time.sleep(self.rng.uniform(0.1, 0.4))
        raise Stopped

    def look(self, call: Callable[[], T]) -> T:
        """Redis's answer, however long it takes."""
        while not self.load.given_up.is_set():
            try:
                return call()
            except (redis.RedisError, errors.ObjectStoreError, OSError):
                time.sleep(0.2)
        raise Stopped

    def finish(self, job: str | None, check: bool = True) -> str | None:
        """Wait for its end, then hold it against the promises. Done before, it is only returned."""
        if not job or job in self.load.done:
            return job
        began = time.monotonic()
        while time.monotonic() < began + PATIENCE:
            x = self.look(lambda: self.store.executions.find(job))
            if x is not None:
                self._fences.setdefault(job, []).append(x.fence)
            if x is None or x.state in TERMINAL:
                break
            shown = self.insist(lambda: self.client.job(job))
            pause = 0.1 if shown is None or shown.status == "running" else 0.2
            time.sleep(max(pause, min(1.0, (time.monotonic() - began) / 10)))
        else:
            return job  # the last check will say that it is lost
        self.load.ended()
        wish = next(wish for wish in reversed(self.load.wishes) if job in wish.ids)
        one = self.seen(job)
        self.load.done[job] = (one.state, len(one.events), len(one.entries))
        self.load.stages.update(event.stage for event in one.events)
        if check:
            self.load.violations += checker.job(wish, one)
        return job

    def seen(self, job: str) -> Seen:
        """All that store and API show of it."""
        one = self.look(lambda: observe.read(self.core, job))
        starts, hashes = None, {}
        if one.state == "completed":
            for path in ("starts", "out.bin"):
                data = self._artifact(job, path)
                if data is not None:
                    hashes[path] = hashlib.sha256(data).hexdigest()
                    starts = tuple(data.decode().split()) if path == "starts" else starts
        fences = tuple(self._fences.pop(job, ()))
        return dataclasses.replace(one, fences=fences, starts=starts, hashes=hashes)

    def _said(self, job: str, word: str) -> str | None:
        """What a job printed behind a word."""
        one = self.look(lambda: observe.read(self.core, job))
        lines = (entry.line or "" for entry in one.entries)
        return next((line.split()[1] for line in lines if line.startswith(f"{word} ")), None)

    def _artifact(self, job: str, path: str) -> bytes | None:
        """A small file of a job; None when it has none of this name."""
        shown = self.insist(lambda: self.client.job(job))
        if shown is None or path not in shown.files:
            return None
        with tempfile.TemporaryDirectory() as folder:
            found = self.insist(lambda: self.client.download(job, path, folder))
            return Path(found.file).read_bytes() if found else None


def all_ids(store: store_open.Store, tenant: str = "default") -> list[str]:
    """Every execution that Redis knows."""
    return list(store.client.zrange(keys.executions(tenant), 0, -1))

"""What users of the scripted run do: they give orders to a submitter, which may die over each."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from knify import errors
from knify.core import Core
from knify.services import keys as api_keys
from tests.chaos.history import CANCELLED, COMPLETED, Violation, Wish

_MARKDOWN = "# A runbook\n\n```sh\necho x\n```\n"
_KINDS = {"count": 60, "file": 15, "continue": 15, "hang": 6, "cancel": 4, "mount": 4, "book": 5}
#: How often, beside each forty jobs or each 50 ms.
_RARE = {"clean": 0.3, "forget": 0.05, "delete": 0.03, "list": 0.1, "keys": 0.02, "drain": 0.02}
_RARE |= {"hook": 0.1, "schedule": 0.15, "drop": 0.04, "secret": 0.05}


class Users:
    """Their wishes, and what they saw that must not be."""

    def __init__(
        self, core: Core, rng: random.Random, order: Callable[..., Any], receiver: str
    ) -> None:
        """`order` is carried out by the submitter; `receiver` is a webhook's address."""
        self.wishes: dict[str, Wish] = {}
        self.forgotten: set[str] = set()
        self.deleted: set[str] = set()
        self.found: list[Violation] = []
        self.needed: list[str] = []  # kinds of jobs that workers wait for
        self._core = core
        self._rng = rng
        self._order = order
        self._receiver = receiver
        self._jobs: list[str] = []
        self._hanging: list[str] = []
        self._uploads = 0
        self._scheduled: list[str] = []  # keys of jobs that are on a schedule

    def work(self, jobs: int, wanted: str, *, halves: bool) -> None:
        """Some jobs, and now and then something rare; `wanted` in any case.

        `halves`: what is forgotten is only begun, as if the process had died over it.
        """
        for _ in range(jobs):
            self._submit()
        if len(self._hanging) > 2:
            self._order(act="cancel", job=self._hanging.pop(0))
        rare: dict[str, Callable[[], object]] = {
            "clean": self._clean,
            "forget": lambda: self._forget(halves=halves),
            "delete": self._delete,
            "list": self._list,
            "keys": self._use_keys,
            "drain": lambda: self._order(act="drain", node="n"),
            "hook": lambda: self._order(act="hook", url=self._receiver),
            "upload": self._upload,
            "schedule": self._schedule,
            "drop": self._drop,
            "secret": self._use_secret,
        }
        for name, act in rare.items():
            likely = _RARE.get(name, 0.0)
            if name == "forget" and halves:
                likely = 0.3
            if name == wanted or self._rng.random() < likely:
                act()
        del self._jobs[:-500]

    def cancel_what_hangs(self) -> None:
        """In the end."""
        for job in self._hanging:
            self._order(act="cancel", job=job)

    def _upload(self) -> None:
        self._uploads += 1
        self._order(act="upload", number=self._uploads)

    def _clean(self) -> None:
        if self._jobs:
            self._order(act="clean", job=self._jobs.pop(self._rng.randrange(len(self._jobs))))

    def _forget(self, *, halves: bool) -> None:
        if self._jobs:
            job = self._jobs.pop(0)
            if self._order(act="forget", job=job, half=halves)["forgotten"]:
                self.forgotten.add(job)

    def _delete(self) -> None:
        """A job that runs, one that waits or runs, or any."""
        jobs = self._jobs if self._rng.random() < 0.7 else self._hanging
        if not jobs:
            return
        newest = self._rng.random() < 0.5
        job = jobs.pop(-1 if newest else self._rng.randrange(len(jobs)))
        self._order(act="delete", job=job)
        self.deleted.add(job)

    def _list(self) -> None:
        """A job is found by its metadata, unless it was deleted; no list shows one that was."""
        shown = self._order(act="list")["ids"]
        wish = self.wishes[self._rng.choice(list(self.wishes))] if self.wishes else None
        if wish is not None and wish.ids and not self.forgotten & set(wish.ids):
            kind = "runbook_task" if wish.kind == "book" else "command_task"
            found = self._order(act="list", job_type=kind, metadata={"key": wish.key})["ids"]
            shown += found
            if not found and not self.deleted & set(wish.ids):
                self.found.append(Violation("lost", wish.ids[0], "is not found by its metadata"))
        for job in self.deleted & set(shown):
            self.found.append(Violation("unexpected", job, "was deleted and is in a list"))

    def _schedule(self) -> None:
        """A job that is due once; by its key, two runs of it would be found."""
        key, n = f"{self._rng.getrandbits(64):016x}", self._rng.randint(0, 9)
        request = {"job_type": "command_task", "command": ["job", key, "count", str(n)]}
        request["metadata"] = {"key": key}
        self.wishes[key] = Wish(key, "count", CANCELLED, n)
        self.wishes[key].ids += self._order(act="schedule", key=key, request=request)["ids"]
        self._scheduled.append(key)

    def _drop(self) -> None:
        """Its run goes with it."""
        if not self._scheduled:
            self._schedule()
        key = self._scheduled.pop(self._rng.randrange(len(self._scheduled)))
        self._order(act="drop", key=key)
        self.deleted |= set(self.wishes[key].ids)

    def _use_keys(self) -> None:
        """An API key is made (the request comes twice), gets another secret, and is revoked."""
        seed = f"{self._rng.getrandbits(64):016x}"
        made, again = (self._order(act="make_key", seed=seed) for _ in range(2))
        rotated = self._order(act="rotate_key", key=made["id"], seed=seed)
        good = [made == again, not self._opens(made["text"]), self._opens(rotated["text"])]
        self._order(act="revoke_key", key=made["id"])
        good.append(not self._opens(rotated["text"]))
        if not all(good):
            text = f"key {made['id']}: made once, rotated, opens, revoked: {good}"
            self.found.append(Violation("illegal", "", text))

    def _use_secret(self) -> None:
        """A secret is kept, gets another value, and is deleted."""
        name = f"s{self._rng.getrandbits(64):016x}"
        seen = self._order(act="secret", name=name)
        if seen != {"values": [f"{name}-1", f"{name}-2", None]}:
            self.found.append(Violation("illegal", "", f"secret {name}: {seen}"))

    def _opens(self, text: str) -> bool:
        try:
            api_keys.authenticate(self._core, text)
        except errors.Unauthorized:
            return False
        return True

    def _submit(self) -> None:
        kind = self._rng.choices(list(_KINDS), weights=list(_KINDS.values()))[0]
        if self.needed and self._rng.random() < 0.3:
            kind = self._rng.choice(self.needed)
        kind = "hang" if not self._hanging else kind
        key, n = f"{self._rng.getrandbits(64):016x}", self._rng.randint(0, 9)
        parent = None
        if kind == "continue" and self._jobs:  # the newest one's sandbox is still in use, or hot
            parent = self._jobs[-1] if self._rng.random() < 0.4 else self._rng.choice(self._jobs)
        request: dict[str, Any] = {"job_type": "command_task", "metadata": {"key": key}}
        request["command"] = ["job", key, kind, str(n)]
        if kind == "book":
            del request["command"]
            request |= {"job_type": "runbook_task", "prompt": _MARKDOWN}
        if kind == "mount":
            self._upload()
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

"""Repositories into sandboxes: cloned inside, by the sandbox's own git, through the gateway.

For this step alone the repository's host is allowed, whatever the job itself may reach. Git runs as
the sandbox's user with none of the host's files in reach, so a hostile repository or server harms
nobody else; redirects, submodules, LFS, hooks and all protocols but https are off (`clone.sh`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from importlib import resources
from typing import Final

from knify import errands, errors, model, repositories, units
from knify.agents import models
from knify.core import Core
from knify.exits import Exits
from knify.turn import Hands, Turn

_TEXT: Final = resources.files(__package__).joinpath("clone.sh").read_text()
SCRIPT: Final = errands.script(_TEXT, "clone")
TRIES: Final = 3
_PAUSES: Final = (1.0, 4.0)  # seconds
_MEASURED: Final = 5.0  # seconds between two looks at what it takes
_POLL: Final = 0.2
_AGAIN_IS_USELESS: Final = 3  # an exit code of the script
_COMMIT = re.compile(r"^commit ([0-9a-f]{40}|[0-9a-f]{64})$", re.MULTILINE)
#: What git says of what will not be better the next time.
_FOR_GOOD = re.compile(
    r"not found|Authentication failed|could not read|returned error: (?:3|40[0-79]|41)"
    r"|code 4\d\d from proxy|response 4\d\d|certificate|not our ref|unadvertised|No space left"
    r"|not allowed|not supported"
)
_CONTROL = re.compile(r"[^\x20-\x7e]+")


class Cancelled(Exception):
    """Somebody asked for the job's end meanwhile."""


class Clones:
    """Clones for new sandboxes."""

    def __init__(self, core: Core, hands: Hands, exits: Exits) -> None:
        self._core = core
        self._store = core.store.executions
        self._hands = hands
        self._exits = exits

    def clone(self, turn: Turn, repository: model.Repository) -> None:
        """Put it into the workspace; the commit stands in the records behind that.

        Cancelled; BadRequest when it cannot be had; SandboxError to be taken again.
        """
        way, check = self._exits.lend(turn, repositories.host(repository)), self._check(turn)
        try:
            commit = self._patiently(turn, repository, way, check)
        except (errors.BadRequest, Cancelled):
            self._exits.forget(turn)
            raise
        check()  # else it would be another owner's way that is shut
        self._exits.shut(turn)
        pinned = "" if repository.commit else f" {repository.branch or 'default branch'}"
        turn.x = self._store.note(
            turn.x,
            "repository_cloned",
            f"{repository.url}{pinned} at {commit[:12]}",
            start_commit=commit,
            sandbox={"start_commit": commit},
        )

    def _patiently(
        self,
        turn: Turn,
        wanted: model.Repository,
        way: dict[str, str],
        check: Callable[[], None],
    ) -> str:
        errand = errands.Errand("clone", SCRIPT, way | _variables(wanted, way))
        for n in range(TRIES):
            done = errands.run(self._hands, turn, errand, check)
            found = _COMMIT.search(done.out)
            if done.code == 0 and found:
                return found[1]
            why = _words(done)
            if done.code == _AGAIN_IS_USELESS or _FOR_GOOD.search(why) or n == TRIES - 1:
                break
            again = f"cloning failed, it is tried again: {why}"
            turn.x = self._store.note(turn.x, "repository_retried", again, level="warning")
            _pause(_PAUSES[n], check)
        raise errors.BadRequest(f"the repository could not be cloned: {why}")

    def _check(self, turn: Turn) -> Callable[[], None]:
        """Whether it may go on: our lease, its time, its size, and what its user wants."""
        seconds = self._left(turn.x)
        going = self._hands.going(turn, seconds)
        disk, measured = turn.x.spec.resources.disk, time.monotonic()

        def check() -> None:
            nonlocal measured
            if self._store.is_to_end(turn.x.id):
                raise Cancelled
            try:
                going()
            except errors.OutOfTime as late:
                passed = f"{turn.x.spec.provision_timeout:g} s"
                raise errors.BadRequest(f"the repository was not cloned within {passed}") from late
            if time.monotonic() - measured > _MEASURED:
                measured = time.monotonic()
                self._measure(turn, disk)

        return check

    def _measure(self, turn: Turn, limit: int) -> None:
        used = self._hands.call(self._hands.driver.usage(turn.x.sandbox_id or "", limit))
        if used > limit:
            size = units.show_size(limit)
            raise errors.BadRequest(f"the repository takes more than its disk limit of {size}")

    def _left(self, x: model.Execution) -> float:
        """Seconds that are left for provisioning; time in which no worker lived does not count."""
        registry = self._core.store.registry
        since = max(x.state_changed_at, registry.watched_since() or 0)
        return max(1.0, x.spec.provision_timeout - (registry.now_ms() - since) / 1000)


def _variables(wanted: model.Repository, way: dict[str, str]) -> dict[str, str]:
    # The gateway puts logins in where it is asked over http, on the sandbox's own loopback.
    logs_in = models.GIT in "".join(way.values())
    return {
        "REPO_URL": wanted.url,
        "REPO_BRANCH": wanted.branch or "",
        "REPO_COMMIT": wanted.commit or "",
        "REPO_SUBPATH": wanted.subpath or "",
        "REPO_PROTOCOLS": "https:http" if logs_in else "https",
    }


def _words(done: errands.Done) -> str:
    """What git said last, as plain text with the addresses that the user knows."""
    text = done.err.replace(f"{models.GATEWAY}{models.GIT}", "https://")
    lines = [_CONTROL.sub(" ", line).strip() for line in text.splitlines()]
    return "; ".join([line for line in lines if line][-3:])[-400:] or f"exit code {done.code}"


def _pause(seconds: float, check: Callable[[], None]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        check()
        time.sleep(_POLL)

"""What was answered to requests that came with an Idempotency-Key, so that it can be said again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from knify import ids
from knify.store.redis import Client, Scripts

KEPT_SECONDS: Final = 86_400.0
#: Without an end after this long, the next request with the key does the work, with the same seed.
BUSY_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Begun:
    """What becomes of a request."""

    verdict: Literal["mine", "done", "busy"]
    seed: str = ""  # of `mine`: what is made takes its id and secrets from it
    answer: str = ""  # of `done`


class Replays:
    """The first answers, each under a name that holds who asked."""

    def __init__(self, client: Client, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts

    def begin(
        self, name: str, digest: str, owner: str, *, busy_seconds: float = BUSY_SECONDS
    ) -> Begun:
        """IdempotencyConflict when the name was used for another digest."""
        busy = int(busy_seconds * 1000)
        verdict, text = self._scripts.call(
            "replay_begin", name, digest, ids.new("seed"), owner, busy
        )
        if verdict == "mine":
            return Begun("mine", seed=text)
        return Begun("done", answer=text) if verdict == "done" else Begun("busy")

    def answered(
        self, name: str, owner: str, answer: str, *, seconds: float = KEPT_SECONDS
    ) -> None:
        """Keep the answer, unless another request took the work over meanwhile."""
        self._scripts.call("replay_end", name, owner, "answered", answer, int(seconds * 1000))

    def refused(self, name: str, owner: str) -> None:
        """Nothing was done: the name is free again."""
        self._scripts.call("replay_end", name, owner, "refused", "", 0)

    def failed(self, name: str, owner: str) -> None:
        """Something may have been done: the next one with this name repeats it."""
        self._scripts.call("replay_end", name, owner, "failed", "", 0)

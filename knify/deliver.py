"""Delivers webhooks: claims what is due, sends it, says what became of it.

Redis holds the truth (`store/lua/webhooks.lua`): whoever dies here, at any line, leaves a lease
that runs out, and the delivery is tried again. Several processes share the work. An event in Redis
wakes all of them; between events each sleeps until the next delivery is due.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import redis

from knify import counters, errors, failpoints, ids, post
from knify.core import Core
from knify.services import messages
from knify.store.webhooks import Claimed, Result

T = TypeVar("T")
log = logging.getLogger(__name__)

AT_ONCE: Final = 32  # attempts of this process at one time, for webhooks that are well
ILL: Final = 8  # the same for those whose attempts fail; they never take a slot of the others
LEASE_MS: Final = int(post.TOTAL_SECONDS * 1000) + 5_000
LIMIT_MS: Final = 86_400_000  # from the first attempt on
FIRST_MS: Final = 5_000
LONGEST_MS: Final = 3_600_000
_AFTER_FAILURE = 1.0  # seconds, while Redis is away
#: Answers of the 400s that say "later" and not "never".
_LATER: Final = (408, 425, 429)


def delay_ms(tries: int, retry_after: float | None = None) -> int:
    """How long after the nth attempt the next one comes: 5 s, 10 s, 20 s … 1 h, and some jitter.

    A receiver that asks for more time gets it, up to an hour.
    """
    usual = min(LONGEST_MS, FIRST_MS * 2 ** min(tries - 1, 20))
    asked = min(LONGEST_MS, int((retry_after or 0) * 1000))
    return int(max(usual, asked) * random.uniform(1.0, 1.2))  # noqa: S311


class Deliverer:
    """One thread with an event loop, beside the worker's own."""

    def __init__(self, core: Core, *, at_once: int = AT_ONCE, lease_ms: int = LEASE_MS) -> None:
        """Nothing happens before `start`."""
        self._core = core
        self._most = {False: at_once, True: ILL}  # by whether the webhook is ill
        self._lease_ms = lease_ms
        self._net = max(core.settings.sweep_seconds, 1.0)  # a lost wake-up costs no more
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="deliver")
        self._resolver = ThreadPoolExecutor(at_once + ILL, thread_name_prefix="resolve")
        self._thread = threading.Thread(target=self._serve, name="webhooks", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._running: dict[asyncio.Task[None], bool] = {}
        self._stopping = False

    def start(self) -> None:
        """Deliver from now on."""
        self._thread.start()

    def wake(self) -> None:
        """Look again now: something may be due earlier than was known. From any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._woken.set)

    def stop(self, seconds: float) -> None:
        """Begin nothing new; wait that long for what is under way. The rest is tried again."""
        self._stopping = True
        self.wake()
        self._thread.join(seconds)

    def _serve(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            runner.run(self._forever())
            self._loop = None

    async def _forever(self) -> None:
        while not self._stopping:
            self._woken.clear()
            try:
                seconds = await self._begin()
            except (errors.KnifyError, redis.RedisError, OSError) as failed:
                log.warning("webhooks: %s", failed)
                seconds = _AFTER_FAILURE
            except Exception:
                log.exception("webhooks failed")  # a bug must not end all delivery
                seconds = _AFTER_FAILURE
            await self._sleep(seconds)
        if self._running:
            await asyncio.wait(self._running)

    async def _begin(self) -> float:
        """Begin as many attempts as there is room for; after how many seconds to look again."""
        token, claim = ids.nonce(), self._core.store.webhooks.claim
        work = await self._in_thread(
            functools.partial(
                claim, self._free(False), self._free(True), lease_ms=self._lease_ms, token=token
            )
        )
        for claimed in work.claimed:
            task = asyncio.get_running_loop().create_task(self._attempt(claimed, token))
            self._running[task] = claimed.is_ill
            task.add_done_callback(self._done)
        return self._net if work.wait_ms is None else min(self._net, work.wait_ms / 1000)

    def _free(self, is_ill: bool) -> int:
        """Attempts that may begin; the end of one wakes us."""
        return self._most[is_ill] - list(self._running.values()).count(is_ill)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            pass

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._woken.set()
        if not task.cancelled() and (failed := task.exception()) is not None:
            log.error("a webhook's attempt failed", exc_info=failed)

    async def _attempt(self, claimed: Claimed, token: str) -> None:
        """One attempt, and what became of it. Dying anywhere in here leaves a lease that ends."""
        tries = claimed.delivery.tries
        body, answer = await self._try(claimed)
        result = Result(
            body=body,
            ms=answer.ms,
            code=answer.code,
            error=answer.error or _refusal(answer.code),
            gives_way=400 <= (answer.code or 0) < 500 and answer.code not in _LATER,
        )
        delay = delay_ms(tries, answer.retry_after)
        end = functools.partial(self._core.store.webhooks.end, claimed, token, result)
        try:
            verdict = await self._in_thread(
                functools.partial(end, delay_ms=delay, limit_ms=LIMIT_MS)
            )
        except redis.RedisError as away:
            log.warning("%s was sent, which Redis does not know: %s", claimed.delivery.id, away)
            return
        counters.add("knify_webhook_attempts", label=verdict)
        counters.add("knify_webhook_attempt_time_seconds", result.ms / 1000)
        if result.error:
            _say(claimed, result, verdict, delay)

    async def _try(self, claimed: Claimed) -> tuple[str, post.Answer]:
        """What was sent, and the answer. A bug counts as a failure, so that it has an end, too."""
        delivery, body = claimed.delivery, ""
        try:
            body = delivery.body or messages.body(delivery.event or "")
            return body, await self._send(claimed, body.encode())
        except errors.ObjectStoreError:
            return body, post.Answer(0, error="the secret cannot be read any more: set a new one")
        except Exception as failed:
            log.exception("%s could not be sent", delivery.id)
            return body, post.Answer(0, error=f"internal error: {type(failed).__name__}")

    async def _send(self, claimed: Claimed, content: bytes) -> post.Answer:
        secret = self._core.sealed.unseal(claimed.secret)
        headers = messages.headers(secret, claimed.delivery.id, int(time.time()), content)
        failpoints.hit("send.webhook", "before")
        answer = await post.send(
            claimed.url,
            headers,
            content,
            private=self._core.settings.webhook_allow_private,
            resolver=self._resolver,
        )
        failpoints.hit("send.webhook", "after")
        return answer

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)


def _refusal(code: int | None) -> str:
    """Why an answer does not count as delivered; empty when it does."""
    if code is None or 200 <= code < 300:
        return ""
    if 300 <= code < 400:
        return f"answered {code}: redirects are not followed, change the url"
    return f"answered {code}"


def _say(claimed: Claimed, result: Result, verdict: str, delay: int) -> None:
    """One line for each attempt that failed; the url may hold secrets and is not told."""
    facts: dict[str, Any] = {
        "webhook": claimed.webhook,
        "delivery": claimed.delivery.id,
        "attempt": claimed.delivery.attempts,
        "code": result.code,
        "ms": result.ms,
        "error": result.error,
        "next_in_ms": delay if verdict == "again" else None,
    }
    log.warning("webhook not delivered (%s)", verdict, extra=facts)

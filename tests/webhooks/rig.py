"""Jobs and deliverers for the tests of webhooks; time passes by changing what is stored."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from knify import deliver, receivers
from knify.core import Core
from knify.lifecycle import State
from knify.services import jobs, webhooks
from knify.store import hookkeys, keys
from tests.api.parts import COMMAND, Worker

PATIENCE = 60.0  # seconds; reached only by what is broken
SECRET = "your_webhook_secret"  # the documented one


class Rig:
    """One installation's webhooks."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.worker = Worker(core)
        self._deliverers: list[deliver.Deliverer] = []
        self._over = threading.Event()
        self._channel = threading.Thread(target=self._listen)

    def hook(
        self,
        url: str,
        events: Sequence[str] = webhooks.EVENTS,
        *,
        tenant: str = "default",
        secret: str | None = SECRET,
    ) -> str:
        """The id of a new webhook."""
        made = webhooks.create(self.core, tenant, url=url, events=events, secret=secret)
        return made.record.id

    def job(self, *, tenant: str = "default", **spec: Any) -> str:
        """The id of a new job."""
        submission = jobs.Submission(COMMAND | spec)
        return jobs.submit(self.core, tenant, submission).execution.id

    def finished(self, to: State = State.COMPLETED, **spec: Any) -> str:
        """The id of a job that came to its end."""
        job = self.job(**spec)
        self.worker.finish(self.worker.run(job), to)
        return job

    def deliverer(self, **options: Any) -> deliver.Deliverer:
        """One more process's."""
        if not self._deliverers:
            self._channel.start()
        made = deliver.Deliverer(self.core, **options)
        made.start()
        self._deliverers.append(made)
        return made

    def deliveries(self, webhook: str, tenant: str = "default") -> list[receivers.Delivery]:
        """Newest first."""
        return webhooks.deliveries(self.core, tenant, webhook, offset=0, limit=10_000)[0]

    def statuses(self, webhook: str) -> dict[str, str]:
        """By type, of webhooks that hear of one job."""
        return {one.type: one.status for one in self.deliveries(webhook)}

    def until(self, condition: Callable[[], Any], what: str = "the condition") -> Any:
        """Wait for it."""
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert time.monotonic() < deadline, f"{what} did not come true"
            time.sleep(0.02)
        return found

    def later(self, ms: int) -> None:
        """Time passes: all that is stored was so much earlier."""
        client = self.core.store.client
        for pattern in (
            "knify:h:*:due",
            "knify:h:*:leased",
            "knify:webhooks:due",
            "knify:webhooks:ill",
        ):
            for key in client.scan_iter(pattern):
                for member, score in client.zrange(key, 0, -1, withscores=True):
                    client.zadd(key, {member: int(score) - ms}, xx=True)
        for key in client.scan_iter("knify:h:*:d:*"):
            first = client.hget(key, "first_at")
            if first:
                client.hset(key, "first_at", int(first) - ms)
        self._wake()

    def lists(self, webhook: str) -> dict[str, int]:
        """How many are in each of a webhook's lists."""
        names = ("all", "waiting", "due", "leased", "ended")
        client = self.core.store.client
        return {name: client.zcard(f"{hookkeys.webhook(webhook)}:{name}") for name in names}

    def close(self) -> None:
        """Stop all."""
        self._over.set()
        if self._deliverers:
            self._channel.join()
        for one in self._deliverers:
            one.stop(30)

    def _listen(self) -> None:
        """As a worker does."""
        pubsub = self.core.store.client.pubsub(ignore_subscribe_messages=True)
        pubsub.subscribe(keys.WEBHOOKS)
        self._wake()  # what came before
        while not self._over.is_set():
            if pubsub.get_message(timeout=0.1):
                self._wake()
        pubsub.close()

    def _wake(self) -> None:
        for one in list(self._deliverers):
            one.wake()

"""The part of beat that watches schedules: it sleeps until the next due time, or is woken."""

from __future__ import annotations

import logging
import threading
from typing import Any, Final

import redis

from knify import healthy, settings
from knify.core import Core
from knify.services import firing
from knify.store import keys
from knify.store.redis import connect as connect_redis

log = logging.getLogger(__name__)

_LONGEST: Final = 20.0  # seconds of sleep: a notice may be lost, a clock may step
_PAUSE: Final = 1.0  # seconds after a failure


class Scheduler:
    """Makes runs of schedules until the process ends. Others may do the same elsewhere."""

    def __init__(self, core: Core, config: settings.Settings) -> None:
        self._core = core
        self._config = config
        self._firing = firing.Firing(core)
        self._client = connect_redis(config.redis, timeout=30)

    def start(self) -> None:
        """In a thread of its own; Celery has the main one."""
        threading.Thread(target=self._for_ever, name="schedules", daemon=True).start()

    def _for_ever(self) -> None:
        while True:
            try:
                self._watch()
            except redis.RedisError as away:
                log.warning("schedules wait for Redis: %s", away)
            except Exception:
                log.exception("schedules failed, they go on")
            threading.Event().wait(_PAUSE)

    def _watch(self) -> None:
        with self._client.pubsub(ignore_subscribe_messages=True) as told:
            told.subscribe(keys.CRON)
            while True:
                healthy.note(self._config, "beat")
                if not self._firing.work():
                    self._sleep(told)

    def _sleep(self, told: Any) -> None:
        wait = self._core.store.definitions.wait_ms()
        seconds = _LONGEST if wait is None else min(wait / 1000, _LONGEST)
        if seconds > 0:
            told.get_message(timeout=seconds)

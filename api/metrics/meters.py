"""What is counted here and read at each scrape: of the installation, and of this process.

Each process has one registry; gunicorn runs one worker in it (`serving.OPTIONS`), so there is
nothing to add up. Of several API processes, each is a target of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import flask
import prometheus_client as prometheus
import redis
from prometheus_client import gc_collector, platform_collector, process_collector
from prometheus_client.core import Metric

from api import shares
from api.metrics import families
from knify import __version__
from knify.core import Core

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BEGUN: Final = "begun"
_NOWHERE: Final = "nowhere"  # the route of what has none: paths are users' words, and endless


class Meters:
    """One process's registry."""

    def __init__(self, core: Core, streams: shares.Shares) -> None:
        """Nothing is read before the first scrape."""
        self.registry = prometheus.CollectorRegistry()
        process_collector.ProcessCollector(registry=self.registry)
        platform_collector.PlatformCollector(registry=self.registry)
        gc_collector.GCCollector(registry=self.registry)
        build = prometheus.Info("knify_build", "This version.", registry=self.registry)
        build.info({"version": __version__})
        held = prometheus.Gauge(
            "knify_streams_open", "Streams that this process serves.", registry=self.registry
        )
        held.set_function(streams.taken)
        self._requests = prometheus.Counter(
            "knify_http_requests", "Answers by route and status.",
            ("method", "route", "status"), registry=self.registry,
        )  # fmt: skip
        self._seconds = prometheus.Histogram(
            "knify_http_request_seconds", "From a request's head to its answer's head.",
            ("route",), buckets=_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self.registry.register(_Collector(lambda: read(core)))

    def begin(self) -> None:
        """A request has come."""
        setattr(flask.g, _BEGUN, time.monotonic())

    def end(self, response: flask.Response) -> float:
        """It is answered, but for the body. Seconds since it came."""
        endpoint = flask.request.endpoint
        route = endpoint.rpartition(".")[2] if endpoint else _NOWHERE
        method = flask.request.method if endpoint else _NOWHERE
        self._requests.labels(method, route, str(response.status_code)).inc()
        seconds = time.monotonic() - float(flask.g.get(_BEGUN, time.monotonic()))
        self._seconds.labels(route).observe(seconds)
        return seconds


class _Collector:
    """What is read anew for each scrape."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        return self._read()

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that nothing is read when it is registered."""
        return ()


def read(core: Core) -> Iterator[Metric]:
    """The installation's figures; without Redis, that it is away, and how this process fares."""
    try:
        found = core.store.meter.read()
    except redis.RedisError:
        found = None
    yield families.one("knify_redis_up", "Whether Redis answers.", float(found is not None))
    if found is not None:
        yield from families.of(found)

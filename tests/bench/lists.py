"""`python -m tests.bench.lists`: lists of a store with a million jobs against one with a thousand.

Each request goes through the whole WSGI application and a real Redis, in turns of the two stores,
so that a busy machine slows both alike. What is compared is the slowest hundredth.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from werkzeug.test import EnvironBuilder, run_wsgi_app

from api import app as app_module
from knify import clock, hints, settings
from knify import core as core_module
from knify.core import Core
from knify.services import keys
from knify.store import keys as store_keys
from tests.parts import fill
from tests.parts import redis as redis_server

SMALL, LARGE = 1_000, 1_000_000
REQUESTS = 400  # of each kind, to each store
STATES = ["completed"] * 88 + ["failed"] * 10 + ["cancelled"] * 2
TYPES = ["command_task"] * 90 + ["runbook_task"] * 10


def kind(n: int) -> tuple[str, str, dict[str, Any]]:
    """Common and rare values, in all combinations; no more than 100 kinds of jobs."""
    n %= 100
    state, job_type = STATES[n * 37 % 100], TYPES[n * 53 % 100]
    return state, job_type, {"team": f"t{n % 10}", "env": "prod", "shard": n}


#: Queries; {old}, {new} bound the middle third of a store, {page} is a page in its depth.
QUERIES = {
    "no filter": "",
    "status": "status=failed",
    "status, common": "status=completed",
    "several statuses": "status=failed,cancelled",
    "type": "job_type=runbook_task",
    "metadata": "metadata.team=t3",
    "metadata, in every job": "metadata.env=prod",
    "status + type": "status=failed&job_type=runbook_task",
    "status + metadata": "status=failed&metadata.team=t3",
    "status + common metadata": "status=failed&metadata.env=prod",
    "type + metadata": "job_type=runbook_task&metadata.team=t3",
    "metadata + metadata": "metadata.team=t3&metadata.env=prod",
    "all four": "status=completed&job_type=command_task&metadata.team=t3&metadata.env=prod",
    "nothing matches": "status=failed&metadata.team=nobody",
    "time window": "created_after={old}&created_before={new}",
    "time window + status": "created_after={old}&created_before={new}&status=failed",
    "time window + metadata": "created_after={old}&created_before={new}&metadata.team=t3",
    "time window + three": "created_after={old}&created_before={new}&metadata.team=t3"
    "&status=completed&job_type=command_task",
    "deep page": "page={page}",
    "deep page, status": "status=completed&page={page}",
    "deep page, statuses": "status=completed,failed&page={page}",
    "deep page, metadata": "metadata.env=prod&page={page}",
    "page 10, status + metadata": "status=completed&metadata.env=prod&page=10",
}


@dataclass(frozen=True)
class Row:
    """One kind of request, in seconds."""

    what: str
    small: list[float]
    large: list[float]

    @property
    def ratio(self) -> float:
        """Of the slowest hundredths."""
        return quantile(self.large, 0.99) / quantile(self.small, 0.99)


def quantile(found: list[float], share: float) -> float:
    """The time that this share of them stays below."""
    return sorted(found)[int(share * (len(found) - 1))]


@contextmanager
def store(jobs: int) -> Iterator[Callable[[str], float]]:
    """A filled store; the function makes a request and says how long it took."""
    with tempfile.TemporaryDirectory(prefix="kl-") as folder:
        server = redis_server.start(Path(folder))
        try:
            environ = {"KNIFY_HOME": f"{folder}/home", "KNIFY_REDIS_URL": server.url}
            core = core_module.connect(settings.load(environ), hints.RecordedHints())
            begun = time.monotonic()
            fill.Store(core).of_kinds(jobs, kind)
            used = server.client().info("memory")["used_memory"] / jobs
            seconds = time.monotonic() - begun
            print(f"{jobs:9,} jobs in {seconds:.0f} s, {used:.0f} bytes of memory each")
            yield _caller(core, jobs)
        finally:
            server.stop()


def _caller(core: Core, jobs: int) -> Callable[[str], float]:
    application = app_module.create_app(core)
    headers = {"Authorization": f"Bearer {keys.create(core, 'default').text}"}
    index = store_keys.executions(fill.TENANT)
    ends = (core.store.client.zrange(index, n, n, withscores=True) for n in (0, -1))
    first, last = (int(score) // 1000 for ((_, score),) in ends)
    places = {
        "old": clock.rfc3339(first + (last - first) // 3),
        "new": clock.rfc3339(last - (last - first) // 3),
        "page": min(jobs // 100, 10_000),
    }

    def call(query: str) -> float:
        text = "limit=50&" + query.format(**places)
        environ = EnvironBuilder("/jobs", query_string=text, headers=headers).get_environ()
        begun = time.perf_counter()
        body, status, _ = run_wsgi_app(application, environ, buffered=True)
        spent = time.perf_counter() - begun
        assert status == "200 OK", b"".join(body)
        return spent

    return call


def measure(*, small: int = SMALL, large: int = LARGE, requests: int = REQUESTS) -> Iterator[Row]:
    """Each kind of request, to both stores in turns."""
    with store(small) as few, store(large) as many:
        for what, query in QUERIES.items():
            for call in (few, many):
                for _ in range(20):
                    call(query)
            pairs = [(few(query), many(query)) for _ in range(requests)]
            yield Row(what, [a for a, _ in pairs], [b for _, b in pairs])


def main(arguments: list[str]) -> None:
    """Print the ratios."""
    large = int(arguments[0]) if arguments else LARGE
    print(f"{'GET /jobs?limit=50':28} {'1,000 jobs p50 p99':>20} {f'{large:,} jobs p50 p99':>26}")
    for row in measure(large=large):
        times = [quantile(t, q) * 1000 for t in (row.small, row.large) for q in (0.5, 0.99)]
        shown = "".join(f"{ms:9.1f}" for ms in times)
        print(f"{row.what:28} {shown} ms   ratio {row.ratio:5.2f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

"""`python -m tests.bench.schedules`: 10,000 schedules due in one minute; a window of large logs.

Beat's part runs in this process, on a real Redis that writes to disk before it answers.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from knify import core as core_module
from knify import hints, model, settings
from knify.core import Core
from knify.definitions import Definition
from knify.lifecycle import State
from knify.services import firing, history, lines, schedules
from knify.store import jobkeys, keys
from knify.store.streams import Segment, entry_json
from tests.parts import redis
from tests.projects import parts

SCHEDULES, RUNS, SEGMENTS = 10_000, 100, 5
LINES = 19_000  # of a segment: 2 MiB, so that a run has 10 MB
_MINUTE = 60_000


@contextmanager
def store() -> Iterator[Core]:
    """A core of its own."""
    with tempfile.TemporaryDirectory(prefix="knify-bench-") as folder:
        server = redis.start(Path(folder), aof=True)
        environ = {"KNIFY_HOME": f"{folder}/home", "KNIFY_REDIS_URL": server.url}
        try:
            yield core_module.connect(settings.load(environ), hints.CeleryHints(server.url))
        finally:
            server.stop()


def fired(core: Core, count: int) -> tuple[float, int]:
    """(seconds until all were fired, how many runs there are)."""
    for n in range(count):
        body = {"name": f"j{n}", "command": f"echo {n}", "schedule": "0 0 1 1 *"}
        schedules.create(core, "default", f"p{n % 10}", body, id=f"jobdef_{n}")
    pipe, now = core.store.client.pipeline(transaction=False), core.store.registry.now_ms()
    for n in range(count):
        pipe.hset(jobkeys.definition(f"jobdef_{n}"), "next_at", now)
        pipe.zadd(keys.CRON, {f"jobdef_{n}": now})
    pipe.execute()
    beat, began, cpu = firing.Firing(core), time.monotonic(), _cpu(core)
    while beat.work():
        pass
    seconds = time.monotonic() - began
    print(f"CPU of all that in beat and Redis: {_cpu(core) - cpu:.1f} s of {seconds:.1f}")
    return seconds, core.store.client.zcard(keys.executions("default"))


def _cpu(core: Core) -> float:
    """Seconds that this process and Redis have used."""
    said = core.store.client.info("cpu")
    return time.process_time() + float(said["used_cpu_sys"]) + float(said["used_cpu_user"])


def logged(core: Core) -> list[float]:
    """Seconds of queries for one minute of the logs of 100 runs, each of 10 MB in objects."""
    d = schedules.create(core, "default", "logs", {"name": "l", "command": "true"}, id="jobdef_l")
    first = core.store.registry.now_ms() - RUNS * 10 * _MINUTE
    for n in range(RUNS):
        _long_run(core, d, f"run_{n}", first + n * 10 * _MINUTE)
    found = []
    for n in range(20):
        history._known.clear()  # nothing is remembered from the query before
        start = first + (n * 37 % RUNS) * 10 * _MINUTE + 3 * _MINUTE
        began = time.monotonic()
        got = lines.across(core, d.id, lines.Window(start, start + _MINUTE, 1_000))
        found.append(time.monotonic() - began)
        assert len(got.lines) == 1_000
    return found


def _long_run(core: Core, d: Definition, name: str, begin: int) -> None:
    """Ten minutes of output, as if it had been packed."""
    total, step = SEGMENTS * LINES, 10 * _MINUTE / (SEGMENTS * LINES)
    segments, pad = [], "x" * 50
    for first in range(1, total + 1, LINES):
        texts = [
            json.dumps(
                entry_json(int(begin + n * step), [], n=n, stream="stdout", line=f"{n:08} {pad}"),
                separators=(",", ":"),
            )
            for n in range(first, first + LINES)
        ]
        span = int(begin + first * step), int(begin + (first + LINES - 1) * step)
        segments.append(Segment(first, first + LINES - 1, span))
        data = history.compress("\n".join(texts).encode())
        core.objects.put(history.segment_key(name, segments[-1]), [data])
    x = schedules.trigger(core, d, {}, id=name)
    _end(core, d, x, begin)
    record = {"fields": {}, "events": [], "segments": [one.noted for one in segments]}
    core.objects.put(history.record_key(name), [history.compress(json.dumps(record).encode())])


def _end(core: Core, d: Definition, x: model.Execution, begin: int) -> None:
    client, end = core.store.client, begin + 10 * _MINUTE
    raw = {"state": State.COMPLETED.value, "created_at": begin, "completed_at": end, "row": "{}"}
    fields = {"tenant": "default", "definition": d.id, "job_type": "command_task", "request": "{}"}
    client.delete(keys.execution(x.id))
    client.hset(keys.execution(x.id), mapping=fields | raw)
    client.zadd(jobkeys.runs(d.id), {x.id: begin * 1000})
    client.srem(jobkeys.live(d.id), x.id)
    parts.ran(core, d, x.id, begin, end)


def main() -> int:
    """Measure and print. 1 when a target is missed and `--strict` was given."""
    with store() as core:
        seconds, made = fired(core, SCHEDULES)
    print(f"{SCHEDULES} due in one minute: {made} runs in {seconds:.1f} s (target: 10 s)")
    with store() as core:
        took = sorted(logged(core))
    middle = statistics.median(took) * 1000
    print(f"a minute of {RUNS} runs' logs of 10 MB: {middle:.0f} ms, at most {took[-1] * 1000:.0f}")
    missed = seconds > 10 or made != SCHEDULES or middle > 200
    return 1 if missed and "--strict" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())

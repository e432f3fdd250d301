"""How soon running jobs are followed again after their worker was killed."""

from __future__ import annotations

import json
import time

import redis

from knify.client import Client
from tests.parts import stack as stack_part

JOBS = 10
KILLS = 10
LEASE, SWEEP = 5.0, 1.0  # seconds; the promise is their sum
TICKING = {"job_type": "command_task", "command": "while :; do date +%s.%N; sleep 0.1; done"}
_CALM = 3.0  # seconds between a recovery and the next kill
_PATIENCE = 60.0


def measure() -> list[float]:
    """For each kill and job: seconds until a line that was printed after the kill is in Redis."""
    settings = {
        "KNIFY_LEASE_SECONDS": f"{LEASE:g}",
        "KNIFY_SWEEP_SECONDS": f"{SWEEP:g}",
        "KNIFY_SLOTS": str(JOBS),
        "KNIFY_CPU_OVERCOMMIT": "100",
    }
    with stack_part.running(**settings) as running, running.client() as client:
        jobs = _start(client)
        store = redis.Redis.from_url(running.settings.redis, decode_responses=True)
        found: list[float] = []
        for _ in range(KILLS):
            time.sleep(_CALM)
            last = {f"knify:x:{job}:output": "$" for job in jobs}
            for key in last:
                last[key] = store.xrevrange(key, count=1)[0][0]
            killed = time.time()
            running.kill("worker")
            found += _until_all_go_on(store, last, killed)
        for job in jobs:
            client.cancel(job)
        for job in jobs:
            client.wait(job, timeout=120)
    return sorted(found)


def _start(client: Client) -> list[str]:
    spec = TICKING | {"memory": "32M", "disk": "16M", "cpus": 0.1}
    jobs = [client.create_job(spec).job_id for _ in range(JOBS)]
    for job in jobs:
        next(iter(client.stream_output(job, raw=True)))
    return jobs


def _until_all_go_on(store: redis.Redis, last: dict[str, str], killed: float) -> list[float]:
    found: dict[str, float] = {}
    while len(found) < len(last):
        now = time.time()
        assert now < killed + _PATIENCE, f"only {len(found)} of {len(last)} go on"
        for key, entries in store.xread(last, block=200) or []:
            now = time.time()
            for entry_id, fields in entries:
                last[key] = entry_id
                if float(json.loads(fields["d"])["l"]) > killed:
                    found.setdefault(key, now - killed)
    return list(found.values())

"""Output that is far longer than what Redis holds, on real parts."""

from __future__ import annotations

import hashlib
import time

import pytest

from knify.core import connect
from knify.hints import RecordedHints
from tests.parts import stack as stack_part
from tests.stack import parts

pytestmark = [pytest.mark.stack, pytest.mark.podman, pytest.mark.slow, pytest.mark.timeout(900)]
LINES = 500_000  # of 100 bytes


@pytest.mark.slow
def test_fifty_megabytes_come_back_whole_while_redis_holds_a_tail() -> None:
    pad = "x" * 90
    program = f'BEGIN {{ for (i = 1; i <= {LINES}; i++) printf "%08d %s\\n", i, "{pad}" }}'
    with stack_part.running(KNIFY_PACK_SECONDS="0") as stack, stack.client() as client:
        core = connect(stack.settings, RecordedHints())
        began = time.monotonic()
        job_id = parts.submit(client, ["awk", program])
        most, tail = 0, stack.settings.output_tail_bytes
        while client.job(job_id).status in ("pending", "running"):
            most = max(most, core.store.client.memory_usage(f"knify:x:{job_id}:output") or 0)
            time.sleep(0.2)
        print(f"50 MB in {time.monotonic() - began:.1f} s, at most {most} bytes in Redis")

        assert client.job(job_id).status == "completed"
        stack_part.eventually(lambda: core.store.client.hget(f"knify:x:{job_id}", "row"))
        count, seen, first, last = 0, hashlib.sha256(), "", ""
        for event in client.output(job_id, raw=True):
            count, last = count + 1, event["line"]
            first = first or last
            seen.update(f"{last}\n".encode())

        assert most < 5 * tail
        assert count == LINES
        assert (first, last) == (f"{1:08d} {pad}", f"{LINES:08d} {pad}")
        wanted = hashlib.sha256()
        for n in range(1, LINES + 1):
            wanted.update(f"{n:08d} {pad}\n".encode())
        assert seen.hexdigest() == wanted.hexdigest()

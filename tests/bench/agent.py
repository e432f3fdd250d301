"""How soon an agent's program runs: from before `POST /jobs` until it tells the time.

Its gateway is open by then. The floor is the same program by `podman run`, in turns with ours.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from knify.client import Client
from knify.host import podman
from tests.bench.fresh import CALM, ROUNDS, until
from tests.parts import stack as stack_part
from tests.parts import standin
from tests.parts.stack import Stack

#: Stands for Claude: tells the time, and a result at once.
PROGRAM = """#!/bin/sh
date +%s.%N
echo '{"type": "result", "subtype": "success", "is_error": false, "result": "done"}'
"""
_MODELS = {
    "ANTHROPIC_API_KEY": "none",  # nobody is asked
    "KNIFY_ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
}


@contextmanager
def running() -> Iterator[tuple[Stack, str]]:
    """An installation that may run agents, and an image that has one."""
    with tempfile.TemporaryDirectory(prefix="kn-agent-") as folder:
        program = Path(folder) / "claude"
        program.write_text(PROGRAM)
        program.chmod(0o755)
        with standin.image(program.parent) as image, stack_part.running(**_MODELS) as running:
            yield running, image


def started(stack: Stack, image: str, *, rounds: int = ROUNDS) -> tuple[list[float], list[float]]:
    """Seconds of ours and of the floor."""
    ours, floor = [], []
    with stack.client() as client:
        for n in range(rounds + 2):
            one = _ours(client, image)
            time.sleep(CALM)
            two = _floor(stack, image)
            time.sleep(CALM)
            if n >= 2:  # both sides have caches to fill
                ours.append(one)
                floor.append(two)
    return ours, floor


def _ours(client: Client, image: str) -> float:
    began = time.time()
    job = client.create_job({"job_type": "claude_task", "prompt": "Go", "image": image}).job_id
    until(client, job, "completed")
    return float(client.output(job, raw=True)[0]["line"]) - began


def _floor(stack: Stack, image: str) -> float:
    began = time.time()
    options = ("--rm", "--network", "none")
    answer = podman.call("run", *options, image, "claude", conf=stack.containers_conf)
    assert answer.ok, answer.err
    return float(answer.out.split()[0]) - began

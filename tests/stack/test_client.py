"""The client on the real thing, when the API dies under it."""

from __future__ import annotations

import asyncio

import pytest

from knify.client import AsyncClient, Client
from tests.parts import stack as stack_part

LINES = 10


@pytest.mark.stack
@pytest.mark.slow
def test_who_follows_and_who_waits_outlive_the_death_of_the_api(
    own_stack: stack_part.Stack, client: Client
) -> None:
    command = f"for i in $(seq {LINES}); do echo $i; sleep 0.3; done; echo done > out.txt"
    spec = {"job_type": "command_task", "command": command}
    key = (own_stack.home / "admin.key").read_text().strip()

    async def main() -> tuple[str, list[int]]:
        async with AsyncClient(own_stack.url, key) as other:
            job_id = (await other.create_job(spec)).job_id
            waiting = asyncio.create_task(other.wait(job_id, timeout=100))
            heard = []
            async for frame in other.stream_output(job_id, raw=True):
                heard.append(frame.data["n"])
                if frame.data["n"] == 2:
                    own_stack.kill("api")
            return (await waiting).id, heard

    job_id, heard = asyncio.run(main())

    assert heard == list(range(1, LINES + 1))
    assert client.wait(job_id, timeout=100).status == "completed"
    assert client.artifact_contents(job_id) == {"out.txt": "done\n"}

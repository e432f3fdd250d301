"""Sandboxes that pause, lose their worker and conmon, and move to another node; on real parts."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from knify.client import Client, Job
from knify.host import podman as host_podman
from tests.parts import podman
from tests.parts import stack as stack_part
from tests.stack import parts

pytestmark = [pytest.mark.stack, pytest.mark.podman, pytest.mark.usefixtures("own_stack")]

CYCLES = 20
#: A tree with all that has to survive: modes, links, empty folders, a session in the home folder.
MAKE = """
mkdir -p src/deep/er empty ~/.agent/sessions && echo one > src/a && printf 'x\\ny' > src/deep/er/b
chmod 750 src && chmod 640 src/a && ln -s a src/link && ln src/a src/hard && touch 'odd name'
head -c 300000 /dev/urandom > blob && echo session > ~/.agent/sessions/1 && rm -f gone
"""
HASH = """
cd / && find workspace home/agent -path home/agent/.knify -prune -o -printf '%p %y %m %l\\n' |
sort > /tmp/list && find workspace home/agent -path home/agent/.knify -prune -o -type f -print |
sort | while read -r f; do sha256sum "$f"; done >> /tmp/list && sha256sum < /tmp/list
"""


@pytest.fixture
def second_node(own_stack: stack_part.Stack) -> Iterator[None]:
    """A second Podman root on this machine, with a worker of its own."""
    with podman.root() as root:
        worker = own_stack.extra_worker(KNIFY_NODE="second", KNIFY_PODMAN_URL=root.url)
        try:
            with own_stack.client() as client:
                stack_part.eventually(lambda: "second" in states(client), seconds=60)
            yield
        finally:
            worker.terminate()
            worker.wait(20)


def states(client: Client) -> dict[str, str]:
    return {row["name"]: row["state"] for row in client.nodes() if row["state"] != "away"}


def turn(client: Client, job_id: str, command: str) -> Job:
    made = client.continue_job(job_id, {"job_type": "command_task", "command": command})
    done = client.wait(made.job_id, timeout=90)
    assert done.status == "completed", done.error
    return done


def digest(client: Client, job_id: str) -> str:
    """The hash of the sandbox's tree, as it is seen inside."""
    return parts.lines(client, turn(client, job_id, HASH).id)[0]


@pytest.mark.slow
def test_a_sandbox_is_the_same_through_twenty_cycles_with_kills_between(
    own_stack: stack_part.Stack, client: Client
) -> None:
    first = parts.ran(client, MAKE)
    assert first.status == "completed", first.error
    before = digest(client, first.id)

    for n in range(CYCLES):
        if n % 5 == 0:
            own_stack.kill("worker")
        assert digest(client, first.id) == before, f"cycle {n}"


@pytest.mark.parametrize("init_too", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_sandbox_whose_conmon_was_killed_goes_on_with_its_files(
    client: Client, init_too: bool
) -> None:
    first = parts.ran(client, MAKE)
    before = digest(client, first.id)
    running = client.continue_job(
        first.id, {"job_type": "command_task", "command": "echo started; sleep 60"}
    ).job_id
    next(client.stream_output(running, raw=True))

    seen = host_podman.call(
        "inspect", "--format", "{{.State.ConmonPid}} {{.State.Pid}}", f"knify-{first.sandbox_id}"
    )
    conmon, init = (int(word) for word in seen.out.split())
    os.kill(conmon, signal.SIGKILL)
    if init_too:
        os.kill(init, signal.SIGKILL)

    ended = client.wait(running, timeout=90)
    assert (ended.status, ended.error) == ("failed", "the sandbox ended under the command")
    assert parts.lines(client, running) == ["started"]
    assert digest(client, first.id) == before


@pytest.mark.slow
def test_a_sandbox_moves_to_another_node_when_its_own_drains(
    client: Client, second_node: None
) -> None:
    client.drain_node("second")
    first = parts.ran(client, MAKE)
    before = digest(client, first.id)
    client.drain_node("second", on=False)

    for home, other in (("first", "second"), ("second", "first")):
        client.drain_node(home)
        stack_part.eventually(lambda home=home: states(client)[home] == "drained", seconds=90)
        moved = turn(client, first.id, "true")
        assert "sandbox_restored" in parts.stages(client, moved.id)
        assert digest(client, first.id) == before
        assert has(client, other)
        client.drain_node(home, on=False)


def has(client: Client, node: str) -> bool:
    return any(row["name"] == node and row["paused"] for row in client.nodes())


@pytest.mark.slow
def test_a_sandbox_is_archived_on_request_and_deleted_with_its_object(
    own_stack: stack_part.Stack, client: Client
) -> None:
    first = parts.ran(client, MAKE)
    before = digest(client, first.id)
    folder = Path(own_stack.home) / "objects" / "sandboxes" / (first.sandbox_id or "")

    for _ in range(3):
        client.archive_sandbox(first.sandbox_id or "")
        name = f"knify-{first.sandbox_id}"
        stack_part.eventually(lambda name=name: not host_podman.call("inspect", name).ok)
        own_stack.kill("worker")
        assert digest(client, first.id) == before

    client.cleanup(first.id)
    stack_part.eventually(lambda: not any(folder.glob("*")), seconds=60)


@pytest.mark.slow
def test_a_hot_sandbox_is_thawed_stopped_in_time_and_survives_its_worker() -> None:
    settings = {"KNIFY_HOT_SECONDS": "10", "KNIFY_LEASE_SECONDS": "3"}
    with stack_part.running(**settings) as stack, stack.client() as client:
        first = parts.ran(client, MAKE + "echo kept > /tmp/kept")
        assert frozen(first.sandbox_id) == "paused"

        again = turn(client, first.id, "cat /tmp/kept")
        assert parts.lines(client, again.id) == ["kept"]
        details = [event["detail"] for event in client.events(again.id)]
        assert "Sandbox resumed hot, files in place" in details

        before = digest(client, first.id)
        stack.kill("worker")
        stack_part.eventually(lambda: frozen(first.sandbox_id) == "exited", seconds=60)
        assert digest(client, first.id) == before
        stack_part.eventually(lambda: frozen(first.sandbox_id) == "exited", seconds=60)


def frozen(sandbox_id: str | None) -> str:
    """What Podman says of its container."""
    return host_podman.call(
        "inspect", "--format", "{{.State.Status}}", f"knify-{sandbox_id}"
    ).out.strip()

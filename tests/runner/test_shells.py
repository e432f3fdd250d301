"""What is typed, on its way into a command: in order, once, and not before it is awaited."""

from __future__ import annotations

from typing import Any

import pytest

from knify import errors
from knify.lifecycle import State
from knify.sandbox import fakechannel
from knify.services import jobs, shells
from tests.runner.rig import OUT, Rig, Worker, eventually

GREETING: Any = [(0.1, OUT, b"a shell\n")]


def shell(rig: Rig) -> str:
    """One that an administrator has opened."""
    request = {"job_type": "command_task", "command": list(shells.COMMAND)}
    made = jobs.submit(rig.core, "default", jobs.Submission(request, opened_by="key_1"))
    return made.answer.id


def typed(rig: Rig) -> bytes | None:
    """What was last written into the pipe."""
    found = (box.files.get(shells.PIPE) for box in rig.host.containers.values())
    return next((data for data in found if data), None)


def test_what_is_typed_early_waits_for_the_greeting_and_a_signal_ends_it(rig: Rig) -> None:
    rig.script(*shells.COMMAND, steps=GREETING, hangs=True)
    job, worker, give = shell(rig), Worker(rig), rig.core.store.typed.give
    assert give(job, "input", "ls\n") == "ok"

    worker.advance(job)
    eventually(lambda: typed(rig) == b"ls\n")
    give(job, "signal", "INT")
    worker.watcher.typed(job)

    assert rig.ended(job).exit_code == 130
    assert rig.lines(job) == ["a shell"]
    assert give(job, "input", "ls\n") == "ended"


def test_a_shell_that_takes_nothing_is_ended_and_says_so(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = fakechannel.FakeChannel.put_file

    async def full(self: Any, path: str, data: bytes, mode: int = 0o600) -> None:
        if path == shells.PIPE:
            raise errors.SandboxTimeout("the sandbox did not answer")
        await put(self, path, data, mode)

    monkeypatch.setattr(fakechannel.FakeChannel, "put_file", full)
    rig.script(*shells.COMMAND, steps=GREETING, hangs=True)
    job, worker = shell(rig), Worker(rig)
    rig.core.store.typed.give(job, "input", "ls\n")

    worker.advance(job)

    ended = rig.ended(job, seconds=60)
    assert ended.state is State.FAILED and "does not take what is typed" in (ended.error or "")


@pytest.mark.parametrize("command", [("hello",), shells.COMMAND], ids=["hello", "a shell's"])
def test_a_command_that_is_no_shell_is_given_nothing_even_if_it_looks_like_one(
    rig: Rig, command: tuple[str, ...]
) -> None:
    rig.script(*command, steps=[(0.1, OUT, b"hello\n"), (0.3, OUT, b"bye\n")])
    job, worker = (
        rig.submit(*command, metadata={"shell_of": "t", "opened_by": "key_1"}),
        Worker(rig),
    )
    rig.core.store.typed.give(job, "input", "ls\n")

    worker.advance(job)

    assert rig.ended(job).state is State.COMPLETED
    assert typed(rig) is None

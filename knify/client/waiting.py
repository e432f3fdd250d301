"""Waiting for a job's end: told by its stream of events, and asked where there is none."""

from __future__ import annotations

import time
from typing import TypeVar

from knify.client import errors, records, retry, steps, stream, taskrecords
from knify.client.calls import jobs, output, tasks
from knify.client.calls.base import Call

R = TypeVar("R", records.Job, taskrecords.Task)


def wait(job_id: str, timeout: float | None = None) -> steps.Steps[records.Job]:
    """The job once it has ended. Raises WaitTimeout after `timeout` seconds; the job goes on."""
    return _wait(job_id, jobs.job(job_id), output.stream(job_id, "events"), timeout)


def wait_task(task_id: str, timeout: float | None = None) -> steps.Steps[taskrecords.Task]:
    """The task once it has ended. Raises WaitTimeout after `timeout` seconds; the task goes on."""
    return _wait(task_id, tasks.task(task_id), tasks.stream(task_id, "events"), timeout)


def _wait(name: str, subject: Call[R], events: Call[None], timeout: float | None) -> steps.Steps[R]:
    started = time.monotonic()
    deadline = None if timeout is None else started + timeout
    blind = False  # no stream comes through, such as behind a proxy that keeps answers back
    while not (found := (yield from steps.endure(subject, deadline))).ended:
        if deadline is not None and retry.is_past(deadline):
            raise errors.WaitTimeout(f"{name} is {found.status} after {timeout:g} s")
        if not blind:
            blind = yield from _until_it_ends(subject, events, deadline)
        else:
            yield steps.Sleep(_pause(time.monotonic() - started, deadline))
    return found


def _until_it_ends(
    subject: Call[R], events: Call[None], deadline: float | None
) -> steps.Steps[bool]:
    """Listen until the stream says that it has ended; whether that was of no use."""
    frames = stream.follow(subject, events, deadline=deadline, brief=True)
    try:
        yield from _silently(frames)
    except (errors.ConnectionFailed, errors.ApiError):
        return True
    return deadline is None or not retry.is_past(deadline)


def _silently(values: steps.Values[records.Frame]) -> steps.Steps[None]:
    """Do what a procedure wants without its values."""
    play: steps.Play[records.Frame, None] = steps.Play(values)
    while (wanted := play.next()) is not None:
        if isinstance(wanted, steps.Item):
            continue
        try:
            play.answer = yield wanted
        except Exception as failed:
            play.failure = failed


def _pause(elapsed: float, deadline: float | None) -> float:
    """A short job is noticed at once, a long one costs few requests."""
    left = float("inf") if deadline is None else deadline - time.monotonic()
    return max(0.0, min(left, max(0.1, min(5.0, elapsed / 10))))

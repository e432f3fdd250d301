"""Waiting for a job's end: told by its stream of events, and asked where there is none."""

from __future__ import annotations

import time

from knify.client import errors, records, retry, steps, stream
from knify.client.calls import jobs, output


def wait(job_id: str, timeout: float | None = None) -> steps.Steps[records.Job]:
    """The job once it has ended. Raises WaitTimeout after `timeout` seconds; the job goes on."""
    started = time.monotonic()
    deadline = None if timeout is None else started + timeout
    blind = False  # no stream comes through, such as behind a proxy that keeps answers back
    while not (job := (yield from steps.endure(jobs.job(job_id), deadline))).ended:
        if deadline is not None and retry.is_past(deadline):
            raise errors.WaitTimeout(f"{job_id} is {job.status} after {timeout:g} s")
        if not blind:
            blind = yield from _until_it_ends(job_id, deadline)
        else:
            yield steps.Sleep(_pause(time.monotonic() - started, deadline))
    return job


def _until_it_ends(job_id: str, deadline: float | None) -> steps.Steps[bool]:
    """Listen until the stream says that the job has ended; whether that was of no use."""
    call = output.stream(job_id, "events")
    frames = stream.follow(job_id, call, deadline=deadline, brief=True)
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

"""Following a stream: each frame once and in order, over as many connections as it takes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import httpx
import httpx_sse

from knify.client import answers, errors, records, retry, steps
from knify.client.calls import jobs, output, tasks
from knify.client.calls.base import Call

#: The server sends a comment every 15 s: silence beyond this is a dead connection.
SILENCE = 40.0
LONG = 10.0  # seconds after which a connection has stood, even if it brought nothing
_SLACK = 0.5  # seconds that a deadline may be missed by


def stream_events(job_id: str, after: str | None = None) -> steps.Values[records.Frame]:
    """The steps as they happen, until the job has ended; goes on over broken connections."""
    return follow(jobs.job(job_id), output.stream(job_id, "events"), after)


def stream_output(
    job_id: str, after: str | None = None, *, raw: bool = False
) -> steps.Values[records.Frame]:
    """The output as it comes, until its end; goes on over broken connections.

    `raw`: the program's own lines instead of what the server understood of them.
    """
    return follow(jobs.job(job_id), output.stream(job_id, "output", raw=raw), after)


def stream_task_events(task_id: str, after: str | None = None) -> steps.Values[records.Frame]:
    """A task's history as it happens, until its end; goes on over broken connections."""
    return follow(tasks.task(task_id), tasks.stream(task_id, "events"), after)


def stream_task_logs(
    task_id: str,
    after: str | None = None,
    *,
    stream: str = "all",
    tail: int | None = None,
    since: str | None = None,
) -> steps.Values[records.Frame]:
    """A task's lines as they come, until their end; goes on over broken connections.

    `stream`: all, stdout or stderr. `tail`: begin with the last lines, so many. `since`: begin at a
    time (RFC 3339), or so long ago (`15m`).
    """
    call = tasks.stream(task_id, stream, tail=tail, since=since)
    return follow(tasks.task(task_id), call, after)


class Renew(Exception):
    """The connection would wait for longer than there is time: open another."""


@dataclass(slots=True)
class Position:
    """Where the next connection goes on."""

    after: str | None = None  # id of the last frame that was seen whole
    fruitless: int = 0  # connections in a row that brought nothing
    since: float = 0.0  # when the first of them failed
    job_ended: bool = False  # known since before the newest connection was made
    over: bool = False  # the terminal frame was seen

    def headers(self) -> dict[str, str]:
        """What a connection starts with."""
        after = {"Last-Event-ID": self.after} if self.after else {}
        return {"Accept": "text/event-stream", "Cache-Control": "no-store"} | after

    def saw(self, event: httpx_sse.ServerSentEvent) -> records.Frame | None:
        """Move on to an event; None for one that only keeps the connection alive."""
        if not event.data:
            return None
        frame = answers.frame(event.id, event.data)
        self.after = event.id or self.after
        self.fruitless = 0
        self.over = _is_last(frame)
        return frame

    def came_for_nothing(
        self,
        policy: retry.Policy,
        lived: float,
        trouble: errors.ApiError | errors.ConnectionFailed | None,
        *,
        brief: bool,
    ) -> float:
        """Seconds until the next attempt. Raises ConnectionFailed when patience is at its end.

        `trouble`: None for a stream that ended in order; that is no pause to tell of.
        `lived`: seconds that the connection stood; a long one was only silent, as jobs may be.
        `brief`: whoever listens has other ways to hear of the job, and does not wait for long.
        """
        self.fruitless = 1 if lived > LONG else self.fruitless + 1
        if self.fruitless == 1:
            self.since = time.monotonic()
        asked = trouble.retry_after if isinstance(trouble, errors.ApiError) else None
        delay = policy.delay(self.fruitless, asked)
        enough = brief or time.monotonic() - self.since >= policy.stream_seconds
        if delay is None or (enough and self.fruitless >= policy.stream_attempts):
            raise errors.ConnectionFailed(
                f"the stream broke and did not come back after {self.fruitless} attempts"
            ) from trouble
        if policy.on_wait is not None and trouble is not None:
            policy.on_wait(delay, trouble)
        return delay


def follow(
    subject: Call[Any],
    call: Call[None],
    after: str | None = None,
    deadline: float | None = None,
    *,
    brief: bool = False,
) -> steps.Values[records.Frame]:
    """The frames behind `after`, until the stream's end or the deadline.

    `subject` asks for the job or task whose stream it is; the answer says whether it has `ended`.
    `brief`: give up after the policy's attempts, however short a time they took.
    """
    known = yield from steps.setup()
    position = Position(after)
    while not position.over and not (deadline and retry.is_past(deadline)):
        seen, since = position.after, time.monotonic()
        trouble: errors.ApiError | errors.ConnectionFailed | None = None
        try:
            yield from _connection(call, known, position, deadline)
        except Renew:
            continue
        except httpx.TransportError:
            trouble = errors.ConnectionFailed("the stream broke")
        except errors.ApiError as busy:
            if busy.status not in retry.BUSY:
                raise
            trouble = busy
        else:
            yield from _ended_early(subject, position, seen)
        if position.after == seen and not position.over and not (deadline and _near(deadline)):
            lived = time.monotonic() - since
            delay = position.came_for_nothing(known.policy, lived, trouble, brief=brief)
            yield steps.Sleep(delay if deadline is None else _within(deadline, delay))


def _connection(
    call: Call[None], known: steps.Setup, position: Position, deadline: float | None
) -> steps.Values[records.Frame]:
    silence = SILENCE if deadline is None else min(SILENCE, deadline - time.monotonic())
    timeout = httpx.Timeout(min(10.0, max(0.05, silence)), read=max(0.05, silence))

    def look() -> None:
        if deadline is not None and retry.is_past(deadline, after=silence - _SLACK):
            raise Renew

    response = yield steps.Listen(call, position.headers(), timeout, look)
    known.met = True
    if response.status_code == 204:
        position.over = True
        return
    _check(response)
    while not position.over and (event := (yield steps.Hear())) is not None:
        frame = position.saw(event)
        if frame is not None:
            yield steps.Item(frame)


def _ended_early(subject: Call[Any], position: Position, seen: str | None) -> steps.Steps[None]:
    """A stream that ended without news is over only if its job had ended before.

    That happens where a stream has no entries at all, so that there is nothing to resume from.
    """
    if position.over or position.after != seen:
        return
    position.over = position.job_ended
    position.job_ended = (yield from steps.endure(subject)).ended


def _is_last(frame: records.Frame) -> bool:
    """Output and history have a last frame of their own; raw lines end with a 204."""
    output_ends = frame.data.get("type") == "completed" and "status" in frame.data
    return output_ends or ("stage" in frame.data and frame.data.get("state") in records.ENDED)


def _near(deadline: float) -> bool:
    return retry.is_past(deadline, after=_SLACK)


def _within(deadline: float, seconds: float) -> float:
    return max(0.0, min(seconds, deadline - time.monotonic()))


def _check(response: httpx.Response) -> None:
    kind = response.headers.get("Content-Type", "")
    if response.status_code != 200 or not kind.startswith("text/event-stream"):
        raise errors.ConnectionFailed(f"{response.url} is not a stream: {kind or 'no type'}")

"""`sandbox task logs`: what a task says, so far or live."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from knify.cli import entry, follow, show, tasks, words

if TYPE_CHECKING:
    from knify.client import Client, Task

_STREAMS = ("all", "stdout", "stderr", "events")


@tasks.task.command()
@tasks.task_argument
@click.option("--follow", "-f", "live", is_flag=True, help="Go on until its end.")
@click.option("--tail", type=click.IntRange(0, 100_000), help="Only the last lines, so many.")
@click.option("--since", metavar="AGE|TIME", help="Only newer ones: 15m, 2h, an RFC 3339 time.")
@click.option("--stream", type=click.Choice(_STREAMS), help="Of these lines; or its history.")
@click.option("--raw", is_flag=True, help="An agent's own lines, every byte as it wrote them.")
@tasks.format_option
def logs(
    task_id: str, live: bool, tail: int | None, since: str | None, stream: str | None, raw: bool,
    form: str,
) -> None:  # fmt: skip
    """Print what a task says. With --follow the exit code says how it ended.

    Of an agent it is what it means; --raw, --tail, --since and --stream print its own lines.
    """
    client, at = entry.client(), words.moment("--since", since)
    found = client.task(task_id)
    own = raw or tail is not None or at is not None or stream is not None
    place = _Place(stream or "all", tail, at)
    if own or tasks.wants_raw(found):
        rows, put = _lines(client, found, place, live=live), _lines_put(form, place, raw=raw)
    else:
        rows, put = _meaning(client, found, live=live), _put(form, _said())
    if live:
        tasks.waits(found)
    with tasks.leaving(task_id):
        for data in rows:
            put(data)
        if live:
            entry.leave(tasks.ending(client.wait_task(task_id)))


class _Place:
    """Which lines."""

    def __init__(self, stream: str, tail: int | None, since: str | None) -> None:
        self.stream = stream
        self.tail = tail
        self.since = since


def _lines(client: Client, found: Task, at: _Place, *, live: bool) -> Iterator[dict[str, Any]]:
    """Its own lines, or its history. Of what has ended a stream is as good, and in pieces."""
    if live or found.ended:
        frames = client.stream_task_logs(found.id, stream=at.stream, tail=at.tail, since=at.since)
        return (frame.data for frame in frames)
    if at.stream == "events":
        return (event.raw for event in client.task_events(found.id))
    lines = client.task_logs(found.id, stream=at.stream, tail=at.tail, since=at.since)
    return (line.raw for line in lines)


def _meaning(client: Client, found: Task, *, live: bool) -> Iterator[dict[str, Any]]:
    """What an agent says, as of a job."""
    job_id = found.execution_id or found.id
    if live or found.ended:
        return (frame.data for frame in client.stream_output(job_id))
    return iter(client.output(job_id))


def _lines_put(form: str, at: _Place, *, raw: bool) -> Any:
    if form == "table" and raw and at.stream != "events":
        return lambda data: show.verbatim(data.get("line", ""))
    return _put(form, _event if at.stream == "events" else follow.raw_line)


def _put(form: str, plain: Any) -> Any:
    return plain if form == "table" else lambda data: show.as_(form, data, compact=True)


def _said() -> Callable[[dict[str, Any]], None]:
    heard = follow.Heard()
    return lambda data: follow.event(heard.fresh(data))


def _event(data: dict[str, Any]) -> None:
    show.line(f"{show.clock(data.get('ts', ''))}  ", nl=False)
    follow.step(data)

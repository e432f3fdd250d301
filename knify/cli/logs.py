"""`knify jobs logs` and `events`: what a job says and what becomes of it, also live."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from knify.cli import entry, follow, jobs, show


@jobs.jobs.command()
@jobs.job_argument
@jobs.follow_option
@click.option("--raw", is_flag=True, help="The program's own lines, every byte as it wrote it.")
@jobs.json_option
def logs(job_id: str, live: bool, raw: bool, json_: bool) -> None:
    """Print what a job says. With --follow, why it waits is told on stderr."""
    client = entry.client()
    job = client.job(job_id)
    own_lines = raw or follow.wants_raw(job.spec.get("job_type"))
    heard = follow.Heard()

    def put(data: dict[str, Any]) -> None:
        if json_:
            show.as_json(data, compact=True)
        elif raw:
            show.verbatim(data.get("line", ""))
        elif own_lines:
            follow.raw_line(data)
        else:
            follow.event(heard.fresh(data))

    if job.ended:  # however much it said, it goes by piece by piece
        _each((frame.data for frame in client.stream_output(job_id, raw=own_lines)), put)
        return
    if not live:
        _each(client.output(job_id, raw=own_lines), put)
        return
    with entry.leaving_it(job_id):
        for kind, data in follow.output(client, job_id, raw=own_lines):
            if kind == "waiting":
                follow.waiting(data, err=True)
            else:
                put(data)


@jobs.jobs.command()
@jobs.job_argument
@jobs.follow_option
@jobs.json_option
def events(job_id: str, live: bool, json_: bool) -> None:
    """Print the steps of a job's history."""
    client = entry.client()

    def put(data: dict[str, Any]) -> None:
        if json_:
            return show.as_json(data, compact=True)
        show.line(f"{show.clock(data.get('ts', ''))}  ", nl=False)
        return follow.step(data)

    if not live:
        return _each((event.raw for event in client.events(job_id)), put)
    with entry.leaving_it(job_id):
        return _each((frame.data for frame in client.stream_events(job_id)), put)


def _each(found: Iterable[dict[str, Any]], put: Any) -> None:
    for data in found:
        put(data)

"""A job's life, live: its steps and its output, from two streams, in the order they arrive."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from knify import errors
from knify.cli import show

if TYPE_CHECKING:
    from knify.client import Client, Frame, Job

Data: TypeAlias = dict[str, Any]
Source: TypeAlias = Callable[[], Iterator[Data]]

LOOK_SECONDS = 1.0  # between two looks at why a job waits
_ENDED = ("completed", "failed", "failed_preserved", "cancelled")
_GOOD = (None, True, "ok", "success", "succeeded", "completed")
_TEXTS = ("message", "text", "line", "output", "content")


def wants_raw(job_type: str | None) -> bool:
    """A plain command says nothing but its lines; its neutral events would only hide them."""
    return job_type == "command_task"


def watch(client: Client, job_id: str, *, raw: bool, err: bool = False, quiet: bool = False) -> Job:
    """Print steps, output and why it waits until the job has ended; the job as it then is.

    How it ended is not told here: whoever gets the job tells it once. `quiet`: output alone.
    """
    show_output = raw_line if raw else event
    shown = {"step": step, "waiting": waiting, "output": show_output}
    sources = {} if quiet else {"step": lambda: _data(client.stream_events(job_id))}
    heard = Heard()
    for kind, data in output(client, job_id, raw=raw, more=sources):
        if quiet and kind == "waiting":
            continue
        if not _is_end(kind, data):
            shown[kind](heard.fresh(data), err=err)
        elif data.get("result"):
            event(heard.fresh(data) | {"error": None}, err=err)
    return client.wait(job_id)


class Heard:
    """What an agent said last: many give it as their result once more."""

    def __init__(self) -> None:
        self._last = ""

    def fresh(self, data: Data) -> Data:
        """An event, without the result that was its latest message."""
        if data.get("type") == "agent_message":
            self._last = _text(data).strip()
        elif data.get("type") == "completed" and str(data.get("result")).strip() == self._last:
            return data | {"result": None}
        return data


def _is_end(kind: str, data: Data) -> bool:
    if kind == "step":
        return data.get("state") in _ENDED
    return kind == "output" and data.get("type") == "completed"


def output(
    client: Client, job_id: str, *, raw: bool, more: Mapping[str, Source] | None = None
) -> Iterator[tuple[str, Data]]:
    """What a job says, live, and in between why it waits; each with its kind."""
    over = threading.Event()
    sources: dict[str, Source] = {
        **(more or {}),
        "output": lambda: _data(client.stream_output(job_id, raw=raw)),
        "waiting": lambda: reasons(client, job_id, over),
    }
    try:
        yield from merged(sources)
    finally:
        over.set()


def reasons(client: Client, job_id: str, over: threading.Event) -> Iterator[Data]:
    """Why a job waits and at which place, whenever that changes, until it waits no more."""
    said: Data = {}
    # It is the streams that tell of troubles.
    with contextlib.suppress(errors.KnifyError):
        while not over.wait(LOOK_SECONDS) and (job := client.job(job_id)).status == "pending":
            why = {"position": job.queue_position, "reason": job.pending_reason}
            if any(why.values()) and why != said:
                said = why
                yield why


def merged(sources: Mapping[str, Source]) -> Iterator[tuple[str, Data]]:
    """Values of several sources as they arrive. The first failure of one is raised."""
    arrived: queue.SimpleQueue[tuple[str, Data | BaseException | None]] = queue.SimpleQueue()

    def read(kind: str) -> None:
        try:
            for data in sources[kind]():
                arrived.put((kind, data))
            arrived.put((kind, None))
        except BaseException as failed:
            arrived.put((kind, failed))

    for kind in sources:
        # Daemons: an interrupted command need not wait for a silent server.
        threading.Thread(target=read, args=(kind,), daemon=True).start()
    left = set(sources)
    # A job that says nothing any more waits for nothing any more.
    while left - {"waiting"}:
        kind, found = arrived.get()
        if isinstance(found, BaseException):
            raise found
        if found is None:
            left.discard(kind)
        else:
            yield kind, found


def waiting(data: Data, *, err: bool = False) -> None:
    """Why a job does not run yet."""
    place = f"place {data['position']} in line" if data.get("position") else ""
    text = ": ".join(part for part in (place, str(data.get("reason") or "")) if part)
    show.line(f"… waiting, {text}", err=err, fg="yellow")


def step(data: Data, *, err: bool = False) -> None:
    """An event of the job's history."""
    colour = {"warning": "yellow", "error": "red"}.get(data.get("level", ""))
    text = f"· {data.get('stage', '?')}  {data.get('detail') or ''}".rstrip()
    show.line(text, err=err, fg=colour, dim=colour is None)


def raw_line(data: Data, *, err: bool = False) -> None:
    """A line that the job's own program wrote."""
    show.line(data.get("line", ""), err=err, dim=data.get("stream") == "stderr")


def event(data: Data, *, err: bool = False) -> None:
    """An event of the neutral vocabulary, whatever program it came from."""
    for text, style in _rendered(data):
        for one in text.split("\n"):
            show.line(one, err=err, **style)


def _rendered(data: Data) -> Iterator[tuple[str, dict[str, Any]]]:
    """Lines and their styles."""
    match data.get("type"):
        case "tool_use":
            yield _heading(data), {"bold": True, "fg": "cyan"}
        case "tool_result":
            yield from _result(data)
        case "file_created":
            yield f"+ {data.get('path', '?')}", {"fg": "green"}
        case "warning":
            yield f"! {_labelled(data)}", {"fg": "yellow"}
        case "error":
            yield f"✗ {_labelled(data)}", {"fg": "red"}
        case "completed":
            yield from _ending(data)
        case "agent_message":
            yield _text(data), {}
        case _:
            yield _text(data), {"dim": data.get("stream") == "stderr"}


def _result(data: Data) -> Iterator[tuple[str, dict[str, Any]]]:
    code, took = data.get("exit_code"), data.get("duration_ms")
    good = data.get("status") in _GOOD and code in (None, 0) and not data.get("is_error")
    if text := str(data.get("output") or data.get("error") or "").rstrip("\n"):
        yield text, {}
    notes = [f"exit code {code}"] if code else []
    notes += [f"{took / 1000:.1f} s"] if isinstance(took, int | float) else []
    ending = f" ({', '.join(notes)})" if notes else ""
    yield f"{'✓ done' if good else '✗ failed'}{ending}", {"fg": "green" if good else "red"}


def _ending(data: Data) -> Iterator[tuple[str, dict[str, Any]]]:
    if data.get("result"):
        yield str(data["result"]).rstrip("\n"), {}
    if data.get("error"):
        yield f"✗ {data['error']}", {"fg": "red"}


def _heading(data: Data) -> str:
    """What was begun, on one line: the tool or the language, and what it was called with."""
    given = data.get("parameters")
    named = given if isinstance(given, dict) else {"": given}
    tool = data.get("tool", "?")
    name = named.get("language") or ("shell" if tool == "run_command" else tool)
    subjects = (named.get(key) for key in ("command", "path", *named))
    text = next((value for value in subjects if isinstance(value, str)), "")
    first, *more = text.strip().split("\n")
    return f"▶ {name}: {first}{' …' if more else ''}"


def _labelled(data: Data) -> str:
    return ": ".join(str(data[name]) for name in ("code", "message") if data.get(name))


def _text(data: Data) -> str:
    found = next((data[name] for name in _TEXTS if isinstance(data.get(name), str)), None)
    if found is not None:
        return str(found).removesuffix("\n")
    rest = {name: value for name, value in data.items() if name not in ("type", "timestamp")}
    return f"{data.get('type', '?')}: {json.dumps(rest)}"


def _data(frames: Iterator[Frame]) -> Iterator[Data]:
    return (frame.data for frame in frames)

"""Tasks: submit, list, show, cancel, what they print and the files that they make."""

from __future__ import annotations

import itertools
import time
from typing import Any

import flask

from api import aside, bodies, context, idempotency, streams, strict, websockets
from api.artifacts import sending
from api.smorest import Blueprint
from api.tasks import feed, logs, reading, schemas, typing, view
from knify import model
from knify.services import families, history, shells, tasks, tokens

blp = Blueprint("tasks", __name__, description="Work as manifests, with ids of your own")

SETTLE_SECONDS = 3.0  # for which a cancellation is waited for; most jobs end at once
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_FILE = {"content": {"application/octet-stream": _BYTES, "*/*": _BYTES}}
_TEXT = {"type": "string"}
_LOGS = {
    "content": {
        "text/plain": {"schema": _TEXT},
        "application/x-ndjson": {"schema": _TEXT},
        "text/event-stream": {"schema": _TEXT},
    }
}


@blp.route(view.PATH, methods=["POST"])
@blp.needs("write")
@idempotency.replays_with(digest=reading.digest)
@blp.response(202, schemas.TaskAccepted)
def submit_task() -> flask.typing.ResponseReturnValue:
    """Submit a task."""
    new = idempotency.new_id(tasks.PREFIX)
    x = tasks.submit(context.core(), context.tenant(), reading.wanted(), new=new)
    return flask.jsonify(view.accepted(x)), 202


@blp.route(view.PATH)
@blp.needs("read")
@blp.arguments(schemas.Filters, location="query")
@blp.response(200, schemas.TaskList)
def list_tasks(query: dict[str, Any]) -> flask.Response:
    """List tasks, newest first unless they are sorted otherwise."""
    page = context.core().store.tasks.page(context.tenant(), **query)
    beside = tasks.beside(context.core(), page.tasks)
    rows = [view.brief(x, beside[x.id]) for x in page.tasks]
    return flask.jsonify(view.page(page, rows, query["limit"], query["offset"]))


@blp.route(f"{view.PATH}/stream")
@blp.needs("read", stream=True, place=("task_id",))
@blp.arguments(schemas.Feed, location="query")
@blp.response(101)
def stream_task(query: dict[str, Any]) -> flask.Response:
    """All that happens in a task as messages of a WebSocket, from its beginning to its end."""
    core, after = context.core(), feed.position(query["after"])
    source = feed.Feed(core, _load(query["task_id"]))
    source.check(after)
    wire = websockets.accept()
    return websockets.Upgraded(wire, streams.following(source, after, wire))


@blp.route(f"{view.PATH}/<task_id>")
@blp.needs("read")
@blp.response(200, schemas.Task)
def get_task(task_id: str) -> flask.Response:
    """Show a task with its progress and its definition."""
    core = context.core()
    x = history.whole(core, _load(task_id), aside=aside.reader(context.tenant()))
    last = core.store.streams.last_output_at(x.id) or x.completed_at or x.state_changed_at
    beside = tasks.beside(core, [x])[x.id]
    return flask.jsonify(view.task(x, beside, last or x.created_at, families.shown(core, x)))


@blp.route(f"{view.PATH}/<task_id>", methods=["DELETE"])
@blp.needs("write")
@blp.doc(requestBody={"content": {"application/json": {"schema": schemas.TaskCancellation}}})
@blp.response(200, schemas.TaskCancelled)
def cancel_task(task_id: str) -> flask.Response:
    """Cancel a task: it is told to end, and made to after 30 s; its artifacts are collected."""
    asked = strict.load(schemas.TaskCancellation(), bodies.read_optional())
    wanted = {"reason": "cancelled by request"} | asked
    before, after = tasks.cancel(
        context.core(), context.tenant(), task_id, settle=_settle, **wanted
    )
    return flask.jsonify(view.cancelled(before, after))


@blp.route(f"{view.PATH}/<task_id>/logs")
@blp.needs("read", stream=True)
@blp.arguments(schemas.Logs, location="query")
@blp.doc(responses={200: _LOGS})
@blp.response(200)
def get_task_logs(query: dict[str, Any], task_id: str) -> flask.Response:
    """What a task printed, as text; followed, as server-sent events. Both as JSON lines, too."""
    core, x, which = context.core(), _load(task_id), query["stream"]
    ndjson = "application/x-ndjson" in flask.request.headers.get("Accept", "")
    streams.position(dotted=False)  # what is no place is refused, followed or not
    begin = logs.start(core, x, which, query.get("tail"), query.get("since"))
    if query["follow"]:
        return streams.respond(logs.source(core, x, which, ndjson=ndjson), begin)
    pieces = logs.whole(core, x, which, begin, ndjson=ndjson)
    first = next(pieces)  # while an error can still become a proper answer
    kind = streams.NDJSON.mimetype if ndjson else "text/plain; charset=utf-8"
    return flask.Response(itertools.chain([first], pieces), content_type=kind)


@blp.route(f"{view.PATH}/<task_id>/artifacts")
@blp.needs("read")
@blp.response(200, schemas.TaskArtifacts)
def list_task_artifacts(task_id: str) -> flask.Response:
    """The files that a task made or changed; none before its end."""
    x = _load(task_id)
    return flask.jsonify(view.artifacts(x, families.files(context.core(), x)))


@blp.route(f"{view.PATH}/<task_id>/artifacts/<path:path>")
@blp.needs("read")
@blp.doc(responses={200: _FILE, 206: _FILE, 304: {"description": "Not modified"}})
@blp.response(200)
def download_task_artifact(task_id: str, path: str) -> flask.Response:
    """One file by its path, or by its name where no other is called so; or a range of it."""
    found = tasks.artifact(context.core(), _load(task_id), path)
    response = sending.send(found)
    response.headers["X-Checksum-SHA256"] = found.sha256
    return response


@blp.route(f"{view.PATH}/<task_id>/shell", methods=["POST"])
@blp.needs("admin")
@blp.response(200, schemas.TaskShell)
def open_task_shell(task_id: str) -> flask.Response:
    """Open a shell in the sandbox of a task that has ended, or come to the one that is open."""
    core, key = context.core(), context.key()
    x = shells.open_(core, key, task_id)
    place = f"{view.PATH}/{task_id}/shell?shell_id={x.id}"
    return flask.jsonify(view.shell(x, place, tokens.create(core, key, place)))


@blp.route(f"{view.PATH}/<task_id>/shell")
@blp.needs("admin", stream=True, place=("shell_id",))
@blp.arguments(schemas.Shell, location="query")
@blp.response(101)
def use_task_shell(query: dict[str, Any], task_id: str) -> flask.Response:
    """What a shell says, as messages of a WebSocket, and what is typed into it the other way."""
    core, after = context.core(), feed.position(query["after"])
    x = shells.find(core, context.tenant(), task_id, query["shell_id"])
    source = feed.Feed(core, x)
    source.check(after)
    wire = websockets.accept()
    shells.enter(core, context.key(), x)
    wire.heard = typing.into(core, x)
    return websockets.Upgraded(wire, streams.following(source, after, wire))


def _load(task_id: str) -> model.Execution:
    return tasks.get(context.core(), context.tenant(), task_id)


def _settle(x: model.Execution) -> None:
    """Until the task has ended, or for a while."""
    find = context.core().store.executions.find
    with context.hub().waiter(x.id) as waiter:
        end = time.monotonic() + SETTLE_SECONDS
        while (now := find(x.id)) is not None and now.completed_at is None:
            if (left := end - time.monotonic()) <= 0:
                return
            waiter.wait(left, None)

"""What a job tells while it runs: its history and its output, whole or as a stream."""

from __future__ import annotations

import itertools
from typing import Any

import flask

from api import aside, context, streams
from api.jobs.view import event
from api.output import schemas, view
from api.smorest import Blueprint
from knify import model
from knify.services import history

blp = Blueprint("output", __name__, description="Histories and output, whole and live")

_SSE = {"content": {"text/event-stream": {"schema": {"type": "string"}}}}


@blp.route("/jobs/<job_id>/events")
@blp.needs("read")
@blp.response(200, schemas.History)
def get_events(job_id: str) -> flask.Response:
    """The job's history."""
    x = _load(job_id)
    events = history.events(context.core(), x.id, aside=aside.reader(x.tenant))
    return flask.jsonify({"events": [event(e) for e in events]})


@blp.route("/jobs/<job_id>/events/stream")
@blp.needs("read", stream=True)
@blp.arguments(schemas.From(only=["after"]), location="query")
@blp.doc(responses={200: _SSE})
@blp.response(200)
def stream_events(query: dict[str, Any], job_id: str) -> flask.Response:
    """The job's history as server-sent events."""
    return streams.respond(view.Events(context.core(), _load(job_id)))


@blp.route("/jobs/<job_id>/output")
@blp.needs("read")
@blp.arguments(schemas.How, location="query")
@blp.response(200, schemas.Output)
def get_output(query: dict[str, Any], job_id: str) -> flask.Response:
    """The job's output so far."""
    return _whole(job_id, raw=query["raw"])


@blp.route("/jobs/<job_id>/output/stream")
@blp.needs("read", stream=True)
@blp.arguments(schemas.From, location="query")
@blp.doc(responses={200: _SSE})
@blp.response(200)
def stream_output(query: dict[str, Any], job_id: str) -> flask.Response:
    """The job's output as server-sent events."""
    return streams.respond(view.Output(context.core(), _load(job_id), raw=query["raw"]))


@blp.route("/jobs/<job_id>/cursor")
@blp.needs("read")
@blp.arguments(schemas.How, location="query")
@blp.response(200, schemas.Output)
def get_cursor_output(query: dict[str, Any], job_id: str) -> flask.Response:
    """The same as `output`, under its older name."""
    return _whole(job_id, raw=query["raw"])


@blp.route("/jobs/<job_id>/cursor/stream")
@blp.needs("read", stream=True)
@blp.arguments(schemas.From, location="query")
@blp.doc(responses={200: _SSE})
@blp.response(200)
def stream_cursor_output(query: dict[str, Any], job_id: str) -> flask.Response:
    """The same as `output/stream`, under its older name."""
    return streams.respond(view.Output(context.core(), _load(job_id), raw=query["raw"]))


def _load(job_id: str) -> model.Execution:
    return context.core().store.executions.get(job_id, tenant=context.tenant())


def _whole(job_id: str, *, raw: bool) -> flask.Response:
    pieces = view.array(context.core(), _load(job_id), raw=raw)
    first = next(pieces)  # while an error can still become a proper answer
    return flask.Response(itertools.chain([first], pieces), mimetype="application/json")

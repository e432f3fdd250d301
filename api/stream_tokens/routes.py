"""Tokens for clients that can send no header, such as a browser's EventSource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import flask
from werkzeug import exceptions as http

from api import auth, context, idempotency, paths
from api.smorest import Blueprint
from api.stream_tokens import schemas
from knify import clock, errors
from knify.services import powers, tasks, tokens

blp = Blueprint("stream_tokens", __name__, description="Streams for clients without headers")


@blp.route("/stream-tokens", methods=["POST"])
@blp.needs("read")
@idempotency.replays_with(seconds=tokens.SECONDS)
@blp.arguments(schemas.NewToken)
@blp.response(200, schemas.Token)
def create_stream_token(body: dict[str, Any]) -> flask.Response:
    """Make a token that opens one stream, once, within 60 s, as `?token=`."""
    path, query, place = _stream(body["path"])
    made = tokens.create(context.core(), context.key(), place, seed=idempotency.seed())
    url = f"{quote(path)}?{urlencode([*query, ('token', made.text)])}"
    expires_at = clock.rfc3339(made.expires_at)
    return flask.jsonify({"token": made.text, "expires_at": expires_at, "url": url})


def _stream(text: str) -> tuple[str, list[tuple[str, str]], str]:
    """Path and query of a stream that this key may open, and what a token for it is for.

    BadRequest, Forbidden, NotFound.
    """
    try:
        parts = urlsplit(text)
    except ValueError as wrong:
        raise _bad() from wrong
    path = unquote(parts.path)
    if parts.scheme or parts.netloc or not path.startswith("/"):
        raise _bad()
    try:
        found = flask.current_app.url_map.bind("localhost").match(path, method="GET")
    except http.HTTPException as nowhere:
        raise _bad() from nowhere
    endpoint, names = found
    view = flask.current_app.view_functions[endpoint]
    if not auth.is_stream(view):
        raise _bad()
    if not powers.may(context.key(), auth.scope_of(view) or ""):
        raise errors.Forbidden(f"this needs a key with the scope {auth.scope_of(view)}")
    paths.check(names)
    query = [(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if k != "token"]
    named = dict(query)
    _look({**names} | {name: named.get(name, "") for name in auth.parameters(view)})
    return path, query, auth.place_of(view, path, named)


def _look(names: Mapping[str, str]) -> None:
    """What it is a stream of has to be there."""
    if "job_id" in names:
        context.core().store.executions.get(names["job_id"], tenant=context.tenant())
    if "task_id" in names:
        tasks.get(context.core(), context.tenant(), names["task_id"])


def _bad() -> errors.BadRequest:
    return errors.BadRequest(
        "path must be that of a stream on this server, such as /jobs/JOB_ID/output/stream",
        detail={"field": "path"},
    )

"""The application: all façades on one core."""

from __future__ import annotations

import logging
import re
from typing import Any, Final

import flask
import jinja2
import structlog
from werkzeug import exceptions as http
from werkzeug import routing

from api import (
    auth,
    context,
    hub,
    limits,
    paths,
    sessions,
    shares,
    smorest,
    traces,
    transfers,
    uses,
)
from api.artifacts import routes as artifacts
from api.console import pages as console
from api.health import probe
from api.health import routes as health
from api.jobs import routes as jobs
from api.keys import routes as keys
from api.metrics import meters
from api.metrics import routes as metrics
from api.nodes import routes as nodes
from api.openapi import document
from api.openapi import routes as openapi
from api.output import routes as output
from api.projects import routes as projects
from api.sandboxes import routes as sandboxes
from api.secrets import routes as secrets
from api.stream_tokens import routes as stream_tokens
from api.tasks import routes as tasks
from api.webhooks import routes as webhooks
from api.workspaces import routes as workspaces
from knify import __version__, errors, ids
from knify.core import Core
from knify.services import rates

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
log = logging.getLogger(__name__)

_SUBJECTS = {"job_id": "execution", "task_id": "task", "sandbox_id": "sandbox"}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


_SPEC: Final = "knify.spec"
_CONFIG: Final[dict[str, Any]] = {
    "API_TITLE": "Knify",
    "API_VERSION": __version__,
    "OPENAPI_VERSION": "3.1.0",
    "OPENAPI_URL_PREFIX": None,  # our own route serves it, see api/openapi
    "MAX_FORM_PARTS": 16,
    "PROPAGATE_EXCEPTIONS": False,
}


class _App(flask.Flask):
    """Routes are the same whether a WebSocket is asked for or not: handlers say what they take."""

    def create_url_adapter(self, request: flask.Request | None) -> routing.MapAdapter | None:
        """See Flask."""
        adapter = super().create_url_adapter(request)
        if adapter is not None:
            adapter.websocket = False
        return adapter


def create_app(core: Core, *, no_auth: bool = False) -> flask.Flask:
    """The WSGI application. `no_auth`: everybody is the tenant `default` with all scopes."""
    return equip(shaped(), core, no_auth=no_auth)


def shaped() -> flask.Flask:
    """All routes and rules, which know of no installation yet. Takes a third of a second."""
    app = _App("knify", static_folder=None)
    app.config.update(_CONFIG)
    app.session_interface = sessions.Interface()
    app.url_map.merge_slashes = False  # `//jobs` leads nowhere, instead of elsewhere
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.jinja_env.undefined = jinja2.StrictUndefined  # a word that is not there is a mistake
    app.before_request(_before)
    app.after_request(_after)
    _register(smorest.Api(app))
    app.register_blueprint(console.blp)
    return app


def equip(app: flask.Flask, core: Core, *, no_auth: bool = False) -> flask.Flask:
    """Let it serve this installation, and no other any more."""
    app.config.update(sessions.config(core))
    app.config.update(MAX_CONTENT_LENGTH=core.settings.max_body_bytes, NO_AUTH=no_auth)
    streams = shares.Shares(shares.STREAMS, shares.TENANT_STREAMS, errors.StreamsBusy)
    app.extensions |= {
        context.CORE: core,
        context.HUB: hub.Hub(core.settings.redis),
        auth.CACHE: auth.Cache(),
        auth.USES: uses.Uses(core),
        limits.LIMITER: rates.Limiter(core.store.client),
        context.TRANSFERS: transfers.Transfers(
            core.settings.transfers, core.settings.tenant_transfers
        ),
        context.STREAMS: streams,
        context.METERS: meters.Meters(core, streams),
        context.PROBE: probe.Probe(core.objects),
        context.OPENAPI: document.Document(app.extensions[_SPEC].to_dict, core),
    }
    return app


def _register(api: smorest.Api) -> None:
    for module in (
        health,
        jobs,
        output,
        artifacts,
        tasks,
        projects,
        sandboxes,
        workspaces,
        secrets,
        webhooks,
        keys,
        stream_tokens,
        nodes,
        metrics,
        openapi,
    ):
        api.register_blueprint(module.blp)
    api._app.extensions[_SPEC] = api.spec


def _before() -> None:
    context.meters().begin()
    traces.begin()
    sent = flask.request.headers.get("X-Request-Id", "")
    flask.g.request_id = sent if _REQUEST_ID.fullmatch(sent) else ids.new("req")
    structlog.contextvars.clear_contextvars()  # one greenlet serves all of a connection's
    structlog.contextvars.bind_contextvars(request=flask.g.request_id)
    auth.check()
    if isinstance(flask.request.routing_exception, routing.RequestRedirect):
        raise http.NotFound  # it would lead to where the header Host says
    paths.check(flask.request.view_args)


def _after(response: flask.Response) -> flask.Response:
    headers = response.headers
    for name, value in _HEADERS.items():
        if name not in headers:
            headers.add(name, value)
    headers["X-Request-Id"] = flask.g.request_id
    headers.update(limits.headers())
    seconds = context.meters().end(response)
    traces.end(response)
    if context.core().settings.access_log:
        _note(response, seconds)
    return response


def _note(response: flask.Response, seconds: float) -> None:
    """A line of the log for each answer: neither path nor query, which may hold anything."""
    endpoint, given = flask.request.endpoint, flask.request.view_args or {}
    key = flask.g.get("key")
    log.info(
        "answered",
        extra={
            "method": flask.request.method if endpoint else "",
            "route": (endpoint or "").rpartition(".")[2],
            "status": response.status_code,
            "ms": round(seconds * 1000, 1),
            "client": flask.request.remote_addr,
            "tenant": key.tenant if key else None,
            "key": key.id if key else None,
        }
        | {name: given[arg] for arg, name in _SUBJECTS.items() if arg in given},
    )

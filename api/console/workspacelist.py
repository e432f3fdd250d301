"""The list of workspaces by name, and uploads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import flask
from werkzeug import exceptions as http

from api import aside, context, sessions
from api import errors as api_errors
from api.console import blueprint, forms
from api.workspaces import incoming
from knify import errors, units
from knify.services import uploads, workspaces
from knify.store.workspaces import Added

LIMIT: Final = 30
GOES: Final = "X-Knify-Goes"  # sent by a script that shows the new version's page next
_LIST: Final = "/console/workspaces"


@blueprint.page("/workspaces")
def get_workspaces() -> flask.Response:
    """All names, the one with the newest version first."""
    return _list()


@blueprint.page("/workspaces", needs="write", methods=["POST"], streams=True)
def post_workspace() -> flask.Response:
    """An upload, read as it comes: of a form, or of a script that shows how far it is."""
    try:
        added = _taken()
    except errors.KnifyError as refused:
        if blueprint.wants_part():
            return _told(refused)
        if isinstance(refused, errors.Forbidden):
            raise
        return _list(forms.problems(refused), api_errors.status_of(refused))
    return _shown(added)


def _list(problems: Mapping[str, str] | None = None, status: int = 200) -> flask.Response:
    query = flask.request.args
    page, like = forms.page_of(query), query.get("q", "").strip()[:100]
    core = context.core()
    found, total = core.store.workspaces.names(
        context.tenant(), like=like, offset=(page - 1) * LIMIT, limit=LIMIT
    )
    return blueprint.render(
        "workspaces.html",
        status,
        found=found,
        like=like,
        most=core.settings.workspace_bytes,
        page=page,
        pages=max(1, -(-total // LIMIT)),
        problems=problems or {},
        total=total,
    )


def _taken() -> Added:
    try:
        return _receive()
    except http.RequestEntityTooLarge as large:  # by the length that it declares
        most = units.show_size(context.core().settings.workspace_bytes)
        message = f"the archive is too large: this server takes {most} at most"
        raise errors.TooLarge(message, detail={"field": "workspace"}) from large


def _receive() -> Added:
    core, tenant, running = context.core(), context.tenant(), context.transfers()
    with (
        running.slot(tenant),
        incoming.upload(
            core.settings, running, more=frozenset({sessions.CSRF_FIELD}), gate=_gate
        ) as received,
    ):
        if received is None or not received.filename:
            raise errors.BadRequest("choose an archive first", detail={"field": "workspace"})
        name = received.name or workspaces.stem(received.filename)
        return uploads.upload(
            core,
            tenant,
            workspaces.check_name(name),
            received.file,
            received.sha256,
            aside=aside.heavy(tenant),
        )


def _gate(texts: Mapping[str, str]) -> None:
    """Before the file: whether one of our pages sends it."""
    sent = flask.request.headers.get(sessions.CSRF_HEADER) or texts.get(sessions.CSRF_FIELD, "")
    sessions.check_token(sent)


def _shown(added: Added) -> flask.Response:
    made = added.workspace
    href = f"{_LIST}/{made.name}"
    notice = f"Version {made.version} of {made.name} is there now."
    if added.unchanged:
        notice = f"Nothing new: version {made.version} of {made.name} has these files already."
    if not blueprint.wants_part():
        return blueprint.go(href, notice)
    if GOES in flask.request.headers:
        flask.flash(notice)
    facts = {"name": made.name, "version": made.version, "unchanged": added.unchanged}
    more = {"path": f"/workspaces/{made.name}", "workspace_id": made.id, "href": href}
    return flask.jsonify(facts | more | {"size": made.size, "files": made.files})


def _told(refused: errors.KnifyError) -> flask.Response:
    field, message = next(iter(forms.problems(refused).items()))
    answer = flask.jsonify({"field": field, "message": message})
    answer.status_code = api_errors.status_of(refused)
    return answer

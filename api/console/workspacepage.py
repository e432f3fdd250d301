"""One workspace: its versions, their files to download, and who needs them."""

from __future__ import annotations

from typing import Final

import flask

from api import context
from api.console import blueprint, forms
from api.workspaces import outgoing
from knify import conflicts, errors
from knify.services import workspaces

LIMIT: Final = 30


@blueprint.page("/workspaces/<name>")
def get_workspace(name: str) -> flask.Response:
    """The versions of one name, newest first."""
    return _page(name)


@blueprint.page("/workspaces/versions/<workspace_id>/download")
def get_workspace_files(workspace_id: str) -> flask.Response:
    """A version's files as one tar."""
    found = workspaces.get(context.core(), context.tenant(), workspace_id)
    return outgoing.respond(found)


@blueprint.page("/workspaces/versions/<workspace_id>/delete", needs="write", methods=["POST"])
def post_workspace_delete(workspace_id: str) -> flask.Response:
    """Delete a version for good, unless jobs still have to begin with it."""
    core, tenant = context.core(), context.tenant()
    found = workspaces.get(core, tenant, workspace_id)
    try:
        workspaces.delete(core, tenant, workspace_id)
    except conflicts.WorkspaceBusy as busy:
        return _page(found.name, problem=forms.problems(busy)[""], status=409)
    is_left = core.store.workspaces.named(tenant, found.name) is not None
    where = f"/console/workspaces/{found.name}" if is_left else "/console/workspaces"
    return blueprint.go(where, f"Version {found.version} of {found.name} is deleted.")


def _page(name: str, *, problem: str = "", status: int = 200) -> flask.Response:
    core, tenant, page = context.core(), context.tenant(), forms.page_of(flask.request.args)
    store = core.store
    newest = store.workspaces.named(tenant, name) if workspaces.is_name(name) else None
    if newest is None:
        raise errors.NotFound(f"no workspace {name[:100]}")
    found = store.workspaces.page(tenant, name=name, offset=(page - 1) * LIMIT, limit=LIMIT)
    users = store.workspaces.users([one.id for one in found.workspaces])
    turns = store.sandboxes.turns_of({user for some in users for user in some})
    waiting = [[turns[user][0] for user in some if turns[user]] for some in users]
    return blueprint.render(
        "workspace.html",
        status,
        name=name,
        newest=newest,
        page=page,
        pages=max(1, -(-found.total // LIMIT)),
        problem=problem,
        rows=list(zip(found.workspaces, waiting, strict=True)),
        total=found.total,
    )

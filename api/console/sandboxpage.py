"""One sandbox: its jobs, its archive, its time, and what may be done with it."""

from __future__ import annotations

from typing import Final

import flask

from api import context
from api import errors as api_errors
from api.console import blueprint, forms, jobtree
from api.sandboxes import schemas
from api.strict import load
from knify import errors
from knify.lifecycle import TERMINAL, SandboxState
from knify.services import jobs, nodes, sandboxes

SHOWN: Final = 200  # jobs, the newest ones
_LIST: Final = "/console/sandboxes"
_OVER: Final = (SandboxState.DELETED, SandboxState.LOST)


@blueprint.page("/sandboxes/<sandbox_id>")
def get_sandbox(sandbox_id: str) -> flask.Response:
    """What it is, and its jobs as a tree; for a script just these."""
    return _page(sandbox_id)


@blueprint.page("/sandboxes/<sandbox_id>/archive", needs="write", methods=["POST"])
def post_sandbox_archive(sandbox_id: str) -> flask.Response:
    """Let its node move it to the object store now."""
    try:
        nodes.archive(context.core(), context.tenant(), sandbox_id)
    except errors.Conflict as refused:
        return _page(sandbox_id, refused)
    return blueprint.go(f"{_LIST}/{sandbox_id}", "It is archived as soon as its node comes to it.")


@blueprint.page("/sandboxes/<sandbox_id>/extend", needs="write", methods=["POST"])
def post_sandbox_extend(sandbox_id: str) -> flask.Response:
    """Keep it for some time from now on."""
    try:
        body = load(schemas.Extension(), forms.body(flask.request.form, texts=("expires_in",)))
        sandboxes.extend(context.core(), context.tenant(), sandbox_id, **body)
    except (errors.BadRequest, errors.Conflict, errors.SandboxExpired) as refused:
        return _page(sandbox_id, refused)
    return blueprint.go(f"{_LIST}/{sandbox_id}", "It is kept for longer now.")


@blueprint.page("/sandboxes/<sandbox_id>/cleanup", needs="write", methods=["POST"])
def post_sandbox_cleanup(sandbox_id: str) -> flask.Response:
    """Delete it for good; with `force`, its jobs are cancelled first."""
    core, tenant, force = context.core(), context.tenant(), flask.request.form.get("force") == "yes"
    try:
        jobs.clean_up_sandbox(core, tenant, sandbox_id, force=force)
    except errors.Conflict as refused:
        return _page(sandbox_id, refused)
    notice = "It is deleted when its jobs have ended." if force else "The sandbox is deleted."
    return blueprint.go(f"{_LIST}/{sandbox_id}", notice)


def _page(sandbox_id: str, refused: errors.KnifyError | None = None) -> flask.Response:
    core, store = context.core(), context.core().store
    found = store.sandboxes.get(sandbox_id, tenant=context.tenant())
    uses, names = store.lineages.uses([found.id])[0], store.lineages.jobs(found.id, most=SHOWN)
    there = [x for x in store.executions.get_many(names) if x.tenant == found.tenant]
    problems = {} if refused is None else forms.problems(refused)
    is_over = found.state in _OVER or uses.is_doomed
    template = "sandbox_state.html" if blueprint.wants_part() else "sandbox.html"
    return blueprint.render(
        template,
        200 if refused is None else api_errors.status_of(refused),
        busy=[x.id for x in there if x.state not in TERMINAL],
        days=core.settings.sandbox_days,
        is_over=is_over,
        jobs=jobtree.arrange(there),
        newest=there[-1] if there and not is_over else None,
        problems=problems,
        sandbox=found,
        typed=flask.request.form.get("expires_in", ""),
        uses=uses,
    )

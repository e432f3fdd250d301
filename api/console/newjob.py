"""The form of a new job, and what becomes of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import flask

from api import aside, context, strict
from api.console import blueprint, forms, jobform, shown
from api.jobs import schemas
from knify import errors, ids
from knify.services import history, jobs

_WORKSPACES: Final = 100  # versions whose names are offered; any other one can be written


@blueprint.page("/jobs/new", needs="write")
def get_new_job() -> flask.Response:
    """The form; `?from=ID` fills it with what another job was asked."""
    form: dict[str, str] = {"job_type": flask.request.args.get("type", "")}
    if source := flask.request.args.get("from"):
        core = context.core()
        x = core.store.executions.get(source, tenant=context.tenant())
        whole = history.whole(core, x, aside=aside.reader(x.tenant))
        form = jobform.form_of(whole.request, whole.name)
    if workspace := flask.request.args.get("workspace"):
        form["workspace_path"] = workspace
    return _page(form)


@blueprint.page("/jobs/new", needs="write", methods=["POST"])
def post_new_job() -> flask.Response:
    """Submit it. Sent twice, it is one job."""
    form = flask.request.form.to_dict()
    body: dict[str, Any] = {"spec": jobform.spec_of(form)}
    if name := form.get("name", "").strip():
        body["name"] = name
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    try:
        checked = strict.load(schemas.NewJob(), body)
        accepted = jobs.submit(
            context.core(),
            context.tenant(),
            jobs.Submission(
                checked["spec"],
                name=checked.get("name"),
                # With another content it is another job: one went back and changed it.
                idempotency_key=f"console-{form.get('once', '')[:64]}-{digest[:32]}",
                digest=digest,
            ),
        )
    except errors.BadRequest as failed:
        return _page(form, forms.problems(failed), failed.message, 400)
    except errors.InsufficientResources as failed:
        return _page(form, {}, failed.message, 507)
    return blueprint.go(f"/console/jobs/{accepted.answer.id}")


def _page(
    form: Mapping[str, str],
    problems: Mapping[str, str] | None = None,
    problem: str = "",
    code: int = 200,
) -> flask.Response:
    core = context.core()
    job_type = form.get("job_type") or _first()
    return blueprint.render(
        "new_job.html",
        code,
        form={**form, "job_type": job_type},
        problems=problems or {},
        problem=problem,
        types=shown.TYPES,
        fields=jobform.FIELDS,
        parts=jobform.PARTS,
        icons=jobform.ICONS,
        models=sorted({name for kind in shown.TYPES for name in core.models.of(kind)}),
        workspaces=_workspaces(),
        most=core.settings.workspace_bytes,
        once=ids.nonce(),
    )


def _workspaces() -> list[str]:
    """Names of those that were uploaded last."""
    page = context.core().store.workspaces.page(context.tenant(), limit=_WORKSPACES)
    return list(dict.fromkeys(workspace.name for workspace in page.workspaces))


def _first() -> str:
    """What the form begins with: an agent where a node has one that can sign in."""
    agents: set[str] = set()
    for facts in context.core().store.registry.recent_nodes().values():
        agents |= set(facts.get("agents", ()))
    return next((name for name in shown.TYPES if name in agents), "runbook_task")

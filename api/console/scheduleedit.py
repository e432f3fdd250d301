"""Making schedules, changing them, and running them now with changes."""

from __future__ import annotations

import functools
import zoneinfo
from collections.abc import Mapping
from typing import Any, Final

import flask

from api import aside, context, strict
from api.console import blueprint, scheduleform, schedulelist, schedules, shown
from api.projects import schemas, view
from knify import definitions, errors, ids
from knify.definitions import Definition
from knify.services import schedules as services

_OVERRIDES: Final = ("command", "env")


@blueprint.page("/schedules/new", needs="write")
def get_schedule_new() -> flask.Response:
    """The form of a new one."""
    return _form(None, scheduleform.texts(None, project=flask.request.args.get("project", "")))


@blueprint.page("/schedules/new", needs="write", methods=["POST"])
def post_schedule_new() -> flask.Response:
    """Make it, or say at its fields what is wrong."""
    core, tenant, sent = context.core(), context.tenant(), scheduleform.read(flask.request.form)
    try:
        body = strict.load(schemas.NewProjectJob(), scheduleform.body(sent, None))
        new = ids.new("jobdef")
        d = services.create(core, tenant, sent["project"], body, id=new, aside=aside.run)
    except (errors.KnifyError, scheduleform.Wrong) as failed:
        return _form(None, sent, failed)
    return blueprint.go(schedulelist.href(d), "Schedule created.")


@blueprint.page("/schedules/<project>/<definition_id>/edit", needs="write")
def get_schedule_edit(project: str, definition_id: str) -> flask.Response:
    """The form of one that is there."""
    d = schedules.find(project, definition_id)
    return _form(d, scheduleform.texts(d))


@blueprint.page("/schedules/<project>/<definition_id>/edit", needs="write", methods=["POST"])
def post_schedule_edit(project: str, definition_id: str) -> flask.Response:
    """Change it, or say at its fields what is wrong."""
    core, d = context.core(), schedules.find(project, definition_id)
    sent = scheduleform.read(flask.request.form) | {"project": d.project}
    try:
        body = strict.load(schemas.ProjectJobChanges(), scheduleform.body(sent, d))
        services.change(core, d.tenant, d.project, d.id, body, aside=aside.run)
    except (errors.KnifyError, scheduleform.Wrong) as failed:
        return _form(d, sent, failed)
    return blueprint.go(schedulelist.href(d), "Saved. The next run is made by it.")


@blueprint.page("/schedules/preview", needs="write")
def get_schedule_preview() -> flask.Response:
    """What an expression says and when it is next due, or what is wrong with it; as JSON."""
    query = flask.request.args
    return flask.jsonify(_preview(query.get("schedule", ""), query.get("timezone", "")))


@blueprint.page("/schedules/<project>/<definition_id>/run", needs="write")
def get_schedule_run(project: str, definition_id: str) -> flask.Response:
    """The form of a run with changes."""
    d = schedules.find(project, definition_id)
    return _run_form(d, {"command": scheduleform.texts(d)["command"], "env": ""})


@blueprint.page("/schedules/<project>/<definition_id>/run", needs="write", methods=["POST"])
def post_schedule_run(project: str, definition_id: str) -> flask.Response:
    """Run it now."""
    d, form = schedules.find(project, definition_id), flask.request.form
    sent = {name: form.get(name, "").replace("\r\n", "\n") for name in _OVERRIDES}
    try:
        overrides = strict.load(schemas.NewRun(), _overrides(d, sent))
        x = services.trigger(context.core(), d, overrides, id=ids.new(services.PREFIX))
    except (errors.KnifyError, scheduleform.Wrong) as failed:
        return _run_form(d, sent, failed)
    return blueprint.go(schedulelist.href(d), f"Run {x.id} has begun.")


def _overrides(d: Definition, sent: Mapping[str, str]) -> dict[str, Any]:
    """What differs from the definition."""
    found: dict[str, Any] = {}
    try:
        found["env"] = scheduleform.env(sent["env"])
    except ValueError as wrong:
        raise scheduleform.Wrong({"env": str(wrong)}) from wrong
    if sent["command"].strip() and sent["command"] != scheduleform.texts(d)["command"]:
        found["command"] = sent["command"]
    return {name: value for name, value in found.items() if value}


def _form(
    d: Definition | None, texts: Mapping[str, str], failed: Exception | None = None
) -> flask.Response:
    known = context.core().store.definitions.projects(context.tenant())
    return blueprint.render(
        "schedule_form.html",
        200 if failed is None else 400,
        d=d,
        v=texts,
        problems=_problems(failed, scheduleform.FIELDS),
        types={name: shown.type_name(name) for name in (*scheduleform.TYPES, texts["job_type"])},
        projects=[name for name, _, _ in known[: schedulelist.PROJECTS]],
        zones=_zones(),
        policies=definitions.POLICIES,
        catch_ups=definitions.CATCH_UPS,
        preview=_preview(texts["schedule"], texts["timezone"]),
        **schedules.words(),
    )


@functools.cache
def _zones() -> list[str]:
    """Looking for them reads hundreds of files."""
    return sorted(zoneinfo.available_timezones() - {"localtime", "Factory"})


def _run_form(
    d: Definition, texts: Mapping[str, str], failed: Exception | None = None
) -> flask.Response:
    status = 200 if failed is None else 400
    problems = _problems(failed, _OVERRIDES)
    return schedules.show("schedule_run.html", d, status, v=texts, problems=problems)


def _problems(failed: Exception | None, known: tuple[str, ...]) -> dict[str, str]:
    if isinstance(failed, scheduleform.Wrong):
        return failed.problems
    return scheduleform.problems(failed, known) if isinstance(failed, errors.KnifyError) else {}


def _preview(expression: str, zone: str) -> dict[str, Any]:
    """`sentence` and `next` (texts), or `field` and `problem`."""
    core = context.core()
    if not expression.strip():
        return {"sentence": "Only when somebody asks.", "next": []}
    now, least = core.store.registry.now_ms(), core.settings.schedule_seconds
    try:
        found = aside.run(
            lambda: services.preview(expression, zone.strip() or "UTC", now, least, view.UPCOMING)
        )
    except errors.BadRequest as wrong:
        detail = wrong.detail if isinstance(wrong.detail, dict) else {}
        return {"field": detail.get("field", "schedule"), "problem": wrong.message}
    times = [{"at": at, "text": shown.moment(at, found.zone)} for at in found.times]
    return {"sentence": found.sentence, "next": times}

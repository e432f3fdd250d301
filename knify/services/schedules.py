"""Use cases on definitions: create, change, delete, and ask for a run now."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from knify import conflicts, cron, errors, lifecycle, model
from knify.core import Core
from knify.definitions import Definition
from knify.services import deletion, history, jobs, specs
from knify.store import keys

PREFIX: Final = "run"
#: Fields of a command's spec that may stand beside it, instead of `spec`.
SHORT: Final = (
    *("image", "command", "env", "timeout", "cpus", "memory", "disk"),
    *("network_mode", "allowed_hosts"),
)
MOST_BYTES: Final = 64 * 1024  # of JSON of what a run does: tenants have many definitions
_TRIES: Final = 5  # to change what the scheduler moves in the same moment
_SECONDS: Final = 2.0  # that a request may spend on deleting runs; the sweep does the rest
_PAGE: Final = 100
_GONE: Final = "the job is deleted"
_BY_REQUEST: Final = "cancelled by request"


def create(
    core: Core,
    tenant: str,
    project: str,
    body: Mapping[str, Any],
    *,
    id: str,
    aside: history.Aside = history.here,
) -> Definition:
    """A new definition; its project is made by it. Safe to repeat with the same `id`.

    `aside` runs what looks for due times.

    BadRequest, ImageMissing, AgentNotConfigured, NameTaken, TooManyDefinitions.
    """
    fresh = Definition(id=id, tenant=tenant, project=project, name="", request={})
    return _put(core, _changed(core, fresh, body, aside), rev=None)


def change(
    core: Core,
    tenant: str,
    project: str,
    definition_id: str,
    body: Mapping[str, Any],
    *,
    aside: history.Aside = history.here,
) -> Definition:
    """Change some fields; the next run is made by them. As `create`, and NotFound."""
    for left in reversed(range(_TRIES)):
        d = core.store.definitions.get(tenant, project, definition_id)
        try:
            new = _changed(core, d, body, aside).evolve(rev=d.rev + 1)
            return _put(core, new, rev=d.rev)
        except conflicts.DefinitionChanged:
            if not left:
                raise
    raise AssertionError


def delete(
    core: Core, tenant: str, project: str, definition_id: str, *, aside: history.Aside
) -> None:
    """It is gone at once; its runs are cancelled, and then deleted with all that they left."""
    d = core.store.definitions.get(tenant, project, definition_id)
    for run in core.store.definitions.drop(d.id):
        jobs.cancel_any(core, run, _GONE)
    with contextlib.suppress(errors.ObjectStoreError):  # the sweep goes on
        _empty(core, d.id, time.monotonic() + _SECONDS, aside)


def trigger(core: Core, d: Definition, overrides: Mapping[str, Any], *, id: str) -> model.Execution:
    """A run of it, now. Safe to repeat with the same `id`. BadRequest, NotFound and others."""
    run = model.Run("manual", retries=d.retries, backoff_ms=d.retry_backoff_seconds * 1000)
    request = overridden(d.request, overrides)
    submission = jobs.Submission(request, name=d.name, id=id, definition=d.id, run=run)
    try:
        jobs.submit(core, d.tenant, submission, prefix=PREFIX)
    except errors.BadRequest as failed:
        raise _renamed(failed, overrides) from failed
    return core.store.executions.get(id, tenant=d.tenant)


def overridden(request: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a run that somebody asked for with changes of his own. BadRequest."""
    wanted = dict(request)
    for field in ("command", "args"):
        if field in overrides and request["job_type"] != "command_task":
            raise _bad(field, f"{field} is for commands, and this job is a {request['job_type']}")
    if "env" in overrides:
        wanted["env"] = {**request.get("env", {}), **overrides["env"]}
    if "command" in overrides:
        wanted["command"] = overrides["command"]
    if "args" in overrides:
        command = wanted["command"]
        argv = ["sh", "-c", command, "sh"] if isinstance(command, str) else list(command)
        wanted["command"] = argv + overrides["args"]
    return wanted


def run(core: Core, d: Definition, run_id: str) -> model.Execution:
    """One of its runs. NotFound, also of other executions."""
    x = core.store.executions.find(run_id)
    if x is None or (x.tenant, x.definition) != (d.tenant, d.id) or x.deleting:
        raise errors.NotFound(f"no run {run_id}")
    return x


def cancel(core: Core, d: Definition, run_id: str) -> model.Execution:
    """Ask for a run's end, or for that of its retries where it has failed. RunAlreadyTerminal."""
    before = run(core, d, run_id)
    if core.store.runs.cancel_retry(run_id, _BY_REQUEST):
        return run(core, d, run_id)
    if before.state not in lifecycle.TERMINAL:
        after = jobs.cancel(core, d.tenant, run_id, _BY_REQUEST)
        if after.cancel_requested_at is not None:
            return after
        before = after  # it ended by itself in this moment
    detail = {"run_id": run_id, "state": before.state.value}
    raise conflicts.RunAlreadyTerminal(f"the run has ended: it is {before.state}", detail=detail)


@dataclass(frozen=True, slots=True)
class Preview:
    """What an expression says."""

    sentence: str
    zone: str
    times: list[int]  # its next due times, ms


def preview(expression: str, zone: str, now: int, least: float, most: int) -> Preview:
    """An expression as a definition may have it; `now` in ms, see `_planned`. BadRequest."""
    fresh = _DEFAULTS.evolve(schedule=expression, timezone=zone)
    planned = _planned(_DEFAULTS, fresh, now, least)
    return Preview(planned.words or "", planned.timezone, planned.upcoming(most))


def go_on(core: Core) -> int:
    """What the sweep does: runs beyond what is kept go, and those of dropped definitions."""
    retention = core.store.retention
    over = retention.first(keys.RUNS_OVER, _PAGE)
    for execution_id in over:
        if not retention.delete(execution_id):
            retention.leave(keys.RUNS_OVER, execution_id)
    dropped = retention.come(keys.DROPPING, core.store.registry.now_ms(), _PAGE)
    for definition_id in dropped:
        _empty(core, definition_id, time.monotonic() + _SECONDS, history.here)
    return len(over) + len(dropped)


def _empty(core: Core, definition_id: str, end: float, aside: history.Aside) -> None:
    while time.monotonic() < end:
        found, _ = core.store.runs.page(definition_id, offset=0, limit=_PAGE)
        for execution_id in found:
            if core.store.retention.delete(execution_id):
                deletion.step(core, execution_id, aside)
            else:
                core.store.runs.unlist(definition_id, execution_id)
        if not found:
            core.store.definitions.forget(definition_id)
            return


def _changed(
    core: Core, d: Definition, body: Mapping[str, Any], aside: history.Aside
) -> Definition:
    """The definition as the body wants it, checked as a whole."""
    request = _request(d.request, body)
    if request != d.request:
        _check_size(request, body)
    try:
        specs.prepare(core, d.tenant, request)
    except (errors.BadRequest, errors.InsufficientResources) as failed:
        raise _renamed(failed, body) from failed
    known = {name: body[name] for name in body if name not in (*SHORT, "spec", "schedule")}
    defaults = {name: getattr(_DEFAULTS, name) for name, value in known.items() if value is None}
    new = d.evolve(**(known | defaults), request=request)
    if "tags" in known:
        new = new.evolve(tags=tuple(dict.fromkeys(new.tags)))
    if "schedule" in body:
        new = new.evolve(schedule=body["schedule"])
    now = core.store.registry.now_ms()
    return aside(lambda: _planned(d, new, now, core.settings.schedule_seconds))


def _put(core: Core, d: Definition, *, rev: int | None) -> Definition:
    try:
        return core.store.definitions.put(d, rev=rev)
    except conflicts.NameTaken as taken:
        raise conflicts.NameTaken(detail={"field": "name"}) from taken


def _check_size(request: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    size = len(json.dumps(request, separators=(",", ":")))
    if size <= MOST_BYTES:
        return
    name = max(request, key=lambda one: len(json.dumps(request[one])))
    field = f"spec.{name}" if "spec" in body else name
    why = f"{size:,} bytes of JSON are more than the {MOST_BYTES:,} of what a run does"
    raise _bad(field, f"{field}: {why}; put what is long into a workspace or the image")


def _planned(d: Definition, new: Definition, now: int, least: float) -> Definition:
    """With its next due time: as it was, unless the schedule is another one.

    `now` is in ms, `least` the fewest seconds between due times.
    """
    try:
        cron.check_zone(new.timezone)
    except ValueError as wrong:
        raise _bad("timezone", f"timezone: {wrong}") from wrong
    if new.schedule is not None:
        new = new.evolve(schedule=_schedule(new, d, now, least))
    new = new.evolve(words=cron.sentence(new.schedule) if new.schedule else None)
    if all(getattr(new, n) == getattr(d, n) for n in ("schedule", "timezone", "suspended")):
        return new
    return new.evolve(next_at=new.planned(now))


def _schedule(new: Definition, before: Definition, now: int, least: float) -> str:
    due = new.cron
    if due is not None and due == before.cron:
        return due.expression
    try:
        due = cron.parse(new.schedule or "", new.timezone)
        if due.after(now) is None:
            raise ValueError(f"is not due within {cron.HORIZON} years")
        if least > 60 and due.shortest_ms(now) < least * 1000:
            raise ValueError(f"is due more often than every {least:g} s (KNIFY_SCHEDULE_SECONDS)")
    except ValueError as wrong:
        raise _bad("schedule", f"schedule {wrong}") from wrong
    return due.expression


def _request(before: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a run, from `spec` or from the short form, which changes what was there."""
    short = [name for name in SHORT if name in body]
    if "spec" in body:
        if short:
            raise _bad(short[0], f"{short[0]} stands in `spec` when there is one: leave it out")
        return dict(body["spec"])
    wanted = dict(before) or {"job_type": "command_task"}
    for name in short:
        if body[name] is None:
            wanted.pop(name, None)
        else:
            wanted[name] = body[name]
    return wanted


def _renamed(failed: errors.KnifyError, body: Mapping[str, Any]) -> errors.KnifyError:
    """The same complaint about a field where its user wrote it."""
    detail = failed.detail if isinstance(failed.detail, dict) else {}
    field = str(detail.get("field", "")).removeprefix("spec.")
    if "spec" not in body and field.partition(".")[0] in (*body, "command"):
        detail = detail | {"field": field}
    return type(failed)(failed.message, detail=detail or failed.detail)


def _bad(field: str, message: str) -> errors.BadRequest:
    return errors.BadRequest(message, detail={"field": field})


_DEFAULTS: Final = Definition(id="", tenant="", project="", name="", request={})

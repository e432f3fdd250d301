"""Use cases on tasks: executions that came as a manifest, with the ids that users gave them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from knify import conflicts, errors, families, lifecycle, manifest, model
from knify.core import Core
from knify.services import artifacts, jobs, specs
from knify.services import families as family
from knify.store import admission

PREFIX = "task"


@dataclass(frozen=True, slots=True)
class Beside:
    """What is shown of a task and is not in its record."""

    waiting: admission.Waiting | None = None  # while it is pending
    parent: str | None = None  # what the task is called that it is a child of


def submit(core: Core, tenant: str, wanted: manifest.Manifest, *, new: str) -> model.Execution:
    """Accept a task; `new` is its execution's id. Safe to repeat with the same one.

    InvalidManifest, ImageMissing, AgentNotConfigured, InsufficientResources, DuplicateTaskId.
    """
    parent = wanted.request.get("parent_id")
    submission = jobs.Submission(
        wanted.request,
        name=wanted.name,
        id=new,
        task_id=wanted.task_id or "",
        child_of=family.parent(core, tenant, parent).id if parent else None,
    )
    try:
        families.check(wanted.request.get("children", {}))
        accepted = jobs.submit(core, tenant, submission)
    except conflicts.DuplicateTaskId:
        raise _duplicate(core, tenant, wanted.task_id or "") from None
    except (conflicts.ParentEnded, conflicts.TooManyChildren, errors.NotFound) as failed:
        raise family.refused(failed, parent or "") from failed
    except errors.BadRequest as failed:
        raise _of_manifest(failed, wanted.request) from failed
    return core.store.executions.find(new) or _accepted(accepted)


def check(core: Core, tenant: str, wanted: manifest.Manifest) -> None:
    """Nothing, where `submit` would accept it as things stand. The same errors."""
    parent = wanted.request.get("parent_id")
    if parent:
        family.parent(core, tenant, parent)
    if wanted.task_id and core.store.tasks.named(tenant, wanted.task_id) != wanted.task_id:
        raise _duplicate(core, tenant, wanted.task_id)
    try:
        families.check(wanted.request.get("children", {}))
        specs.prepare(core, tenant, wanted.request)
    except errors.BadRequest as failed:
        raise _of_manifest(failed, wanted.request) from failed


def get(core: Core, tenant: str, task_id: str) -> model.Execution:
    """By its user's id, or by its execution's. TaskNotFound, also of jobs and of foreign ones."""
    x = core.store.executions.find(core.store.tasks.named(tenant, task_id))
    if x is None or x.tenant != tenant or x.task_id is None or x.deleting:
        raise errors.TaskNotFound(f"no task {task_id}")
    return x


def cancel(
    core: Core,
    tenant: str,
    task_id: str,
    reason: str,
    settle: Callable[[model.Execution], None],
    *,
    force: bool = False,
) -> tuple[model.Execution, model.Execution]:
    """Ask for its cancellation; the task as it was, and as it is after `settle` has waited.

    `force`: its command gets no time to end by itself, also when it was asked for before.
    TaskNotFound, TaskAlreadyTerminal.
    """
    before = get(core, tenant, task_id)
    if before.state in lifecycle.TERMINAL:
        raise _ended(before)
    after = jobs.cancel(core, tenant, before.id, reason, force=force)
    if after.cancel_requested_at is None:  # it ended by itself in this moment
        raise _ended(after)
    if after.state not in lifecycle.TERMINAL:
        settle(after)
        after = core.store.executions.get(before.id, tenant=tenant)
    return before, after


def beside(core: Core, found: Sequence[model.Execution]) -> dict[str, Beside]:
    """By the executions' ids; a few round trips for all of them."""
    waiting = jobs.waiting(core, found)
    names = core.store.families.names(x.child_of for x in found if x.child_of)
    return {x.id: Beside(waiting.get(x.id), names.get(x.child_of or "", x.child_of)) for x in found}


def artifact(core: Core, x: model.Execution, path: str) -> model.Artifact:
    """One of its files: by its path, or by its name where no other is called so.

    NotFound, ArtifactWithheld.
    """
    chosen = family.file(core, x, path)
    if not chosen and "/" not in path:
        chosen = [a for a in family.files(core, x) if a.path.rpartition("/")[2] == path]
    if len(chosen) == 1:
        return artifacts.there(chosen[0])
    why = f"has several files called {path}: use one's path" if chosen else f"has no file {path}"
    raise errors.NotFound(f"the task {why}")


def _ended(x: model.Execution) -> conflicts.TaskAlreadyTerminal:
    detail = {"task_id": x.task_id, "state": x.state.value}
    return conflicts.TaskAlreadyTerminal(f"the task has ended: it is {x.state}", detail=detail)


def _duplicate(core: Core, tenant: str, task_id: str) -> conflicts.DuplicateTaskId:
    try:
        there = get(core, tenant, task_id)
    except errors.TaskNotFound:  # gone in this moment
        return conflicts.DuplicateTaskId(detail={"existing_task": {"id": task_id}})
    found: dict[str, Any] = {"id": there.task_id, "state": there.state.value}
    message = f"there is a task {task_id}: leave out metadata.id, or choose another"
    return conflicts.DuplicateTaskId(message, detail={"existing_task": found})


def _of_manifest(failed: errors.BadRequest, request: Mapping[str, Any]) -> errors.BadRequest:
    """The same complaint, which names the manifest's key instead of a job's field."""
    detail = failed.detail if isinstance(failed.detail, dict) else {}
    field = str(detail.get("field", ""))
    if field.startswith("spec."):
        detail = detail | {"field": manifest.place(request, field)}
    kind = errors.InvalidManifest if type(failed) is errors.BadRequest else type(failed)
    return kind(failed.message, detail=detail)


def _accepted(accepted: jobs.Accepted) -> model.Execution:
    """What was accepted, though it is gone by now."""
    if accepted.execution is None:
        raise errors.NotFound()
    return accepted.execution

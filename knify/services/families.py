"""Use cases on tasks that belong together: a parent, and the tasks that name it as theirs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from knify import conflicts, errors, families, lifecycle, model
from knify.core import Core
from knify.lifecycle import State
from knify.services import artifacts


def parent(core: Core, tenant: str, task_id: str) -> model.Execution:
    """The task that a new one names as its parent.

    InvalidManifest when there is none, or it is too far down itself; TaskAlreadyTerminal.
    """
    found = core.store.executions.find(core.store.tasks.named(tenant, task_id))
    if found is None or found.tenant != tenant or found.task_id is None or found.deleting:
        raise wrong(f"there is no task {task_id}")
    above, generations = found.child_of, 1
    while above is not None and generations < families.DEPTH:
        older = core.store.executions.find(above)
        above, generations = older.child_of if older else None, generations + 1
    if above is not None:
        raise wrong(f"{task_id} has {families.DEPTH} generations above it: no more are possible")
    if found.state in lifecycle.TERMINAL or found.cancel_requested_at is not None:
        raise ended(task_id, found.state)
    return found


def refused(failed: errors.KnifyError, task_id: str) -> errors.KnifyError:
    """What is said when the parent changed while its child was on the way."""
    if isinstance(failed, conflicts.ParentEnded):
        return ended(task_id, None)
    if isinstance(failed, conflicts.TooManyChildren):
        return failed
    return wrong(f"there is no task {task_id}")


def wrong(words: str) -> errors.InvalidManifest:
    """A complaint about the parent that a manifest names."""
    field = "metadata.parent_id"
    return errors.InvalidManifest(f"{field}: {words}", detail={"field": field})


def ended(task_id: str, state: State | None) -> conflicts.TaskAlreadyTerminal:
    """A parent that takes no children any more."""
    message = f"the parent {task_id} has ended, or is being cancelled: leave out metadata.parent_id"
    detail = {"task_id": task_id, "field": "metadata.parent_id"}
    detail |= {"state": state.value} if state else {}
    return conflicts.TaskAlreadyTerminal(message, detail=detail)


def counts(core: Core, x: model.Execution) -> dict[str, int]:
    """How many children a task has in each state in which it has any."""
    found = {}
    for state in State:
        page = core.store.listing.find(x.tenant, states=[state], parent=x.id, limit=0)
        if page.total:
            found[state.value] = page.total
    return found


def files(core: Core, x: model.Execution) -> list[model.Artifact]:
    """A task's artifacts, with those of its children below `children/<id>/` if it wants that.

    ArtifactsExpired when they were kept for their time; children's that have gone are left out.
    """
    own = artifacts.of(core, x)
    taken = {artifact.path for artifact in own}
    return own + [a for a in _below(core, x, families.DEPTH) if a.path not in taken]


def file(core: Core, x: model.Execution, path: str) -> list[model.Artifact]:
    """The one of that path, its own or a child's, or none; other children are not looked at."""
    own = [artifact for artifact in artifacts.of(core, x) if artifact.path == path]
    head, child_id, rest = [*path.split("/", 2), "", ""][:3]
    if own or head != families.FOLDER or not families.of(x.request).aggregate_artifacts:
        return own
    child = core.store.executions.find(core.store.tasks.named(x.tenant, child_id))
    if child is None or child.child_of != x.id or child.files_expired_at is not None:
        return []
    return [a.evolve(path=path) for a in file(core, child, rest)]


def _below(core: Core, x: model.Execution, generations: int) -> Iterator[model.Artifact]:
    if generations == 0 or not families.of(x.request).aggregate_artifacts:
        return
    for child in _children(core, x):
        if child.files_expired_at is not None:
            continue
        folder = f"{families.FOLDER}/{child.task_id}"
        for artifact in (*artifacts.of(core, child), *_below(core, child, generations - 1)):
            yield artifact.evolve(path=f"{folder}/{artifact.path}")


def _children(core: Core, x: model.Execution) -> list[model.Execution]:
    """All that there are, oldest first."""
    return core.store.listing.page(x.tenant, parent=x.id, limit=families.MOST).executions[::-1]


def shown(core: Core, x: model.Execution) -> dict[str, Any] | None:
    """What a task says of its children; None when it has none and said nothing of them."""
    has_some = core.store.listing.find(x.tenant, parent=x.id, limit=0).total > 0
    if not has_some and "children" not in x.request:
        return None
    said = families.of(x.request)
    return {
        "max_concurrent": said.max_concurrent,
        "wait_for_children": said.wait_for_children,
        "aggregate_artifacts": said.aggregate_artifacts,
        "counts": counts(core, x) if has_some else {},
    }

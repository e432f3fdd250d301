"""Use cases on executions: submit, continue, cancel, clean up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from knify import (
    capacity,
    clock,
    conflicts,
    families,
    ids,
    model,
    spec,
    tracing,
)
from knify.core import Core
from knify.lifecycle import SandboxState, State
from knify.services import sessions, specs
from knify.store import admission, replies, streams

_PARENTS = 100  # at a time whose children are cancelled
#: A sandbox's files are its own: these belong to the first turn only.
FIRST_TURN_ONLY = ("workspace_path", "image", "cpus", "memory", "disk")


@dataclass(frozen=True, slots=True)
class Submission:
    """What a façade hands in, with the right JSON types but otherwise unchecked."""

    request: Mapping[str, Any]  # the `spec` as written
    name: str | None = None
    idempotency_key: str = ""
    digest: str = ""  # of the request's body, for idempotency
    id: str = ""  # of the execution; else it is made here
    task_id: str | None = None  # its user's own id; "" for a task that has none
    child_of: str | None = None  # the task that it names as its parent
    opened_by: str | None = None  # only of shells: the key by which it was opened
    definition: str | None = None  # whose run it is,
    run: model.Run | None = None  # why it is there,
    retry_of: str | None = None  # and the failed one that it repeats
    traceparent: str | None = None  # that one's; else the request's


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted execution."""

    answer: replies.Answer
    execution: model.Execution | None = None  # None when replayed: it may be gone by now
    replayed: bool = False  # this Idempotency-Key was used before: the first one's answer


def submit(core: Core, tenant: str, submission: Submission, *, prefix: str = "job") -> Accepted:
    """Accept a job in a new sandbox. Raises BadRequest, ImageMissing, IdempotencyConflict.

    InsufficientResources when no living node could ever hold it.
    """
    first = _replayed(core, tenant, submission)
    if first is not None:
        return first
    wanted = specs.prepare(core, tenant, submission.request)
    new = submission.id or ids.new(prefix)
    sandbox = new_sandbox(core, tenant, wanted, new)
    x = new_execution(tenant, submission, wanted, new, sandbox.id)
    return _accept(core, x, sandbox, submission)


def continue_(
    core: Core, tenant: str, parent_id: str, submission: Submission, *, prefix: str = "job"
) -> Accepted:
    """Accept a job as the next turn of its parent's sandbox, behind those that already wait.

    Raises NotFound, BadRequest, SandboxNone, SandboxDeleted, SandboxExpired, SandboxLost,
    InsufficientResources when its node has become too small for it.
    """
    first = _replayed(core, tenant, submission)
    if first is not None:
        return first
    parent = core.store.executions.get(parent_id, tenant=tenant)
    for field in FIRST_TURN_ONLY:
        if field in submission.request:
            raise spec.bad(field, f"{field} belongs to a sandbox's first job: leave it out")
    wanted = specs.build(core, tenant, submission.request)
    sandbox = core.store.sandboxes.find(parent.sandbox_id or "")
    if sandbox is None:
        raise conflicts.SandboxDeleted()
    files = {"repository": sandbox.repository, "profile": parent.spec.profile}
    wanted = wanted.evolve(image=sandbox.image, resources=sandbox.resources, **files)
    specs.fit(core, sandbox.resources, capacity.KINDS, node=sandbox.node)
    x = new_execution(tenant, submission, wanted, ids.new(prefix), sandbox.id)
    session = wanted.session_id or _session(core, parent, wanted.actor)
    x = x.evolve(parent_id=parent.id, session_id=session)
    return _accept(core, x, None, submission)


def waiting(core: Core, found: Iterable[model.Execution]) -> dict[str, admission.Waiting]:
    """Position and reason of those that are pending."""
    return core.store.admission.waiting(found, core.store.registry.nodes)


def cancel(
    core: Core, tenant: str, execution_id: str, reason: str, *, force: bool = False
) -> model.Execution:
    """Ask for cancellation; what nobody works on is cancelled at once. Harmless when terminal.

    `force`: its command gets no time to end by itself.
    """
    core.store.executions.get(execution_id, tenant=tenant)
    cancel_any(core, execution_id, reason, force=force)
    return core.store.executions.get(execution_id, tenant=tenant)


def cancel_any(core: Core, execution_id: str, reason: str, *, force: bool = False) -> None:
    """The same of whoever's it is, also of one that is being deleted; and of all its children."""
    _ask(core, execution_id, reason, force=force)
    disband(core)


def disband(core: Core) -> None:
    """Cancel the children of cancelled tasks, and so theirs. Safe to repeat and to race.

    A task stays in the set until each child has been asked, whoever dies meanwhile.
    """
    while found := core.store.families.disbanding(_PARENTS):
        for parent in found:
            for child in core.store.families.open(parent, families.MOST):
                _ask(core, child, "its parent task was cancelled")
            core.store.families.disbanded(parent)


def _ask(core: Core, execution_id: str, reason: str, *, force: bool = False) -> None:
    x = core.store.executions.find(execution_id)
    if x is None:
        return
    node = x.node or ""
    entry = final_entry("cancelled", clock.now_ms(), error=reason)
    verdict, rest = core.store.executions.cancel(execution_id, reason, entry, force=force)
    if verdict == "asked":
        core.hints.advance(execution_id, rest[0])
    elif verdict == "cancelled":
        hint_all(core, rest, node)


def clean_up(core: Core, tenant: str, execution_id: str, *, force: bool = False) -> None:
    """Delete the job's sandbox for good; idempotent. Raises SandboxBusy with the ids of turns.

    `force` cancels them; the sandbox then goes when the last of them has ended.
    """
    x = core.store.executions.get(execution_id, tenant=tenant)
    _retire(core, tenant, x.sandbox_id or "", force=force)


def clean_up_sandbox(core: Core, tenant: str, sandbox_id: str, *, force: bool = False) -> None:
    """The same of a sandbox that is named itself. NotFound, SandboxBusy."""
    core.store.sandboxes.get(sandbox_id, tenant=tenant)
    _retire(core, tenant, sandbox_id, force=force)


def _retire(core: Core, tenant: str, sandbox_id: str, *, force: bool) -> None:
    if force:
        for turn in reversed(core.store.sandboxes.turns(sandbox_id)):
            cancel(core, tenant, turn, "the sandbox is cleaned up")
    retired = core.store.sandboxes.retire(sandbox_id, force=force)
    if retired.verdict == "busy":
        raise conflicts.SandboxBusy(
            f"{len(retired.turns)} of this sandbox's jobs run or wait: cancel them, or use force",
            detail={"jobs": list(retired.turns)},
        )
    if retired.node:
        core.hints.remove(sandbox_id, retired.node)


def hint_all(core: Core, execution_ids: list[str] | tuple[str, ...], node: str = "") -> None:
    """Wake the right workers for executions that may go on now.

    `node`: where room was made, for those whose sandbox has no node yet.
    """
    for x in core.store.executions.get_many(execution_ids):
        sandbox = core.store.sandboxes.find(x.sandbox_id or "")
        core.hints.advance(x.id, (sandbox and sandbox.node) or node)


def final_entry(status: str, ts: int, **fields: Any) -> dict[str, Any]:
    """The output's last entry: `completed`, whatever the end was."""
    event = {"type": "completed", "timestamp": clock.rfc3339(ts), "status": status}
    return streams.entry_json(ts, [event | {k: v for k, v in fields.items() if v is not None}])


def _session(core: Core, parent: model.Execution, job_type: str) -> str | None:
    """The conversation that a continuation goes on with, as far as it is known now."""
    if parent.spec.actor == job_type and parent.session_id:
        return parent.session_id if spec.is_agent(job_type) else None
    return sessions.inherited(core, parent.parent_id, job_type, far=10)


def new_sandbox(
    core: Core, tenant: str, wanted: model.ExecutionSpec, execution_id: str
) -> model.Sandbox:
    """One that is promised to this execution of this spec."""
    return model.Sandbox(
        id=ids.paired("sandbox", execution_id),
        tenant=tenant,
        state=SandboxState.CREATING,
        image=wanted.image or core.settings.base_image,
        resources=wanted.resources,
        workspace_id=wanted.workspace_id,
        repository=wanted.repository,
        created_at=clock.now_ms(),
        state_changed_at=clock.now_ms(),
    )


def new_execution(
    tenant: str, submission: Submission, wanted: model.ExecutionSpec, new_id: str, sandbox_id: str
) -> model.Execution:
    """What is submitted."""
    return model.Execution(
        id=new_id,
        tenant=tenant,
        state=State.PENDING,
        spec=wanted,
        request=dict(submission.request),
        created_at=clock.now_ms(),
        name=submission.name,
        task_id=new_id if submission.task_id == "" else submission.task_id,
        child_of=submission.child_of,
        opened_by=submission.opened_by,
        metadata=submission.request.get("metadata") or {},
        sandbox_id=sandbox_id,
        session_id=wanted.session_id,
        definition=submission.definition,
        retry_of=submission.retry_of,
        traceparent=submission.traceparent or tracing.traceparent(),
        run=submission.run,
    )


def _replayed(core: Core, tenant: str, submission: Submission) -> Accepted | None:
    """The first answer to this Idempotency-Key, whatever became of what it named since then."""
    if not submission.idempotency_key:
        return None
    first = core.store.executions.replayed(tenant, submission.idempotency_key, submission.digest)
    if first is None:
        return None
    core.store.executions.replicas.confirm()  # the first answer may have been that it was not
    return Accepted(first, replayed=True)


def _accept(
    core: Core,
    x: model.Execution,
    sandbox: model.Sandbox | None,
    submission: Submission,
) -> Accepted:
    submitted = core.store.executions.submit(
        x, sandbox, idempotency_key=submission.idempotency_key, digest=submission.digest
    )
    if submitted.replayed:
        return Accepted(submitted.answer, replayed=True)
    if submitted.look is not None:
        core.hints.advance(x.id, submitted.look)
    return Accepted(submitted.answer, x)

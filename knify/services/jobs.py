"""Use cases on executions: submit, continue, cancel, clean up."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from knify import (
    capacity,
    clock,
    conflicts,
    errors,
    families,
    ids,
    model,
    profiles,
    repositories,
    spec,
)
from knify.agents import models
from knify.core import Core
from knify.lifecycle import SandboxState, State
from knify.services import images, sessions, shipped
from knify.store import admission, replies, streams

_WORKSPACE = re.compile(r"(?:/workspaces/)?([A-Za-z0-9][A-Za-z0-9._-]{0,99})(?:@(\d{1,9}))?")
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
    wanted = _spec(core, tenant, submission.request)
    own = spec.workspace(wanted.job_type)
    if own and wanted.workspace_id is None:
        wanted = wanted.evolve(workspace_id=_workspace(core, tenant, own).id)
    wanted = wanted.evolve(image=images.choose(core, wanted))
    written = [kind for kind in capacity.KINDS if submission.request.get(kind) is not None]
    wanted = wanted.evolve(resources=_fit(core, wanted.resources, written))
    sandbox = _new_sandbox(core, tenant, wanted)
    new = submission.id or ids.new(prefix)
    x = _execution(tenant, submission, wanted, new, sandbox.id)
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
    wanted = _spec(core, tenant, submission.request)
    sandbox = core.store.sandboxes.find(parent.sandbox_id or "")
    if sandbox is None:
        raise conflicts.SandboxDeleted()
    files = {"repository": sandbox.repository, "profile": parent.spec.profile}
    wanted = wanted.evolve(image=sandbox.image, resources=sandbox.resources, **files)
    _fit(core, sandbox.resources, capacity.KINDS, node=sandbox.node)
    x = _execution(tenant, submission, wanted, ids.new(prefix), sandbox.id)
    session = wanted.session_id or _session(core, parent, wanted.actor)
    x = x.evolve(parent_id=parent.id, session_id=session)
    return _accept(core, x, None, submission, node=sandbox.node or "")


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
    sandbox_id = x.sandbox_id or ""
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


def _spec(core: Core, tenant: str, request: Mapping[str, Any]) -> model.ExecutionSpec:
    asked = dict(request)
    agents = {"fh_e2e_tools": core.settings.e2e_agent, "user_exam": core.settings.exam_agent}
    if request["job_type"] in agents:
        asked = {"agent": agents[request["job_type"]]} | asked
    profile = profiles.find(core.profiles, asked["profile"]) if "profile" in asked else None
    wanted = spec.build(
        asked,
        allowed_images=core.settings.images,
        models=core.models,
        resources=profile.resources if profile else None,
    )
    if "repository" in asked:
        found = repositories.read(asked["repository"], known=core.settings.egress_hosts)
        wanted = wanted.evolve(repository=found)
    if wanted.max_cost_usd is not None and core.settings.prices_file is None:
        raise spec.bad("max_cost_usd", "no model has a price here (KNIFY_PRICES_FILE)")
    path = request.get("workspace_path")
    if path is not None:
        wanted = wanted.evolve(workspace_id=_workspace(core, tenant, path).id)
    _check_agent(core, wanted.actor)
    return wanted


def _check_agent(core: Core, job_type: str) -> None:
    """Refuse an agent that can sign in on no living node; without any the job simply waits."""
    setting, provider = spec.credential(job_type), spec.provider(job_type)
    if provider is not None:
        setting = models.PROVIDERS[provider].key
    if setting is None:
        return
    for ask in (core.store.registry.recent_nodes, core.store.registry.nodes):
        nodes = ask()  # a node that can may have come in this moment
        if not nodes or any(job_type in facts.get("agents", ()) for facts in nodes.values()):
            return
    raise errors.AgentNotConfigured(
        f"{job_type} needs {setting}, which no node has: set it where knify is started",
        detail={"field": "spec.job_type", "setting": setting},
    )


def _session(core: Core, parent: model.Execution, job_type: str) -> str | None:
    """The conversation that a continuation goes on with, as far as it is known now."""
    if parent.spec.actor == job_type and parent.session_id:
        return parent.session_id if spec.is_agent(job_type) else None
    return sessions.inherited(core, parent.parent_id, job_type, far=10)


def _workspace(core: Core, tenant: str, path: str) -> model.Workspace:
    match = _WORKSPACE.fullmatch(path)
    if match is None:
        raise spec.bad("workspace_path", "workspace_path looks like /workspaces/NAME[@VERSION]")
    version = int(match[2]) if match[2] else None
    found = core.store.workspaces.named(tenant, match[1], version)
    if found is None and version is None and match[1] == shipped.NAME:
        found = shipped.make(core, tenant)
    if found is None:
        raise spec.bad("workspace_path", f"no workspace {path}: upload it with POST /workspaces")
    return found


def _fit(
    core: Core, wanted: model.Resources, written: Collection[str], node: str | None = None
) -> model.Resources:
    """What the job gets on the living nodes, or on its sandbox's."""

    def on(nodes: dict[str, dict[str, Any]]) -> model.Resources:
        there = {name: facts for name, facts in nodes.items() if node in (None, name)}
        return capacity.fit(wanted, written, there)

    try:
        return on(core.store.registry.recent_nodes())
    except errors.InsufficientResources:
        return on(core.store.registry.nodes())  # a larger one may have come in this moment


def _new_sandbox(core: Core, tenant: str, wanted: model.ExecutionSpec) -> model.Sandbox:
    return model.Sandbox(
        id=ids.new("sandbox"),
        tenant=tenant,
        state=SandboxState.CREATING,
        image=wanted.image or core.settings.base_image,
        resources=wanted.resources,
        workspace_id=wanted.workspace_id,
        repository=wanted.repository,
        created_at=clock.now_ms(),
        state_changed_at=clock.now_ms(),
    )


def _execution(
    tenant: str, submission: Submission, wanted: model.ExecutionSpec, new_id: str, sandbox_id: str
) -> model.Execution:
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
        metadata=submission.request.get("metadata") or {},
        sandbox_id=sandbox_id,
        session_id=wanted.session_id,
    )


def _replayed(core: Core, tenant: str, submission: Submission) -> Accepted | None:
    """The first answer to this Idempotency-Key, whatever became of what it named since then."""
    if not submission.idempotency_key:
        return None
    first = core.store.executions.replayed(tenant, submission.idempotency_key, submission.digest)
    return Accepted(first, replayed=True) if first else None


def _accept(
    core: Core,
    x: model.Execution,
    sandbox: model.Sandbox | None,
    submission: Submission,
    *,
    node: str = "",
) -> Accepted:
    answer, replayed = core.store.executions.submit(
        x, sandbox, idempotency_key=submission.idempotency_key, digest=submission.digest
    )
    if replayed:
        return Accepted(answer, replayed=True)
    core.hints.advance(x.id, node)
    return Accepted(answer, x)

"""Nodes as operators see them: what each has, and draining one before it goes."""

from __future__ import annotations

from dataclasses import dataclass

from knify import conflicts, errors
from knify.core import Core
from knify.lifecycle import SandboxState
from knify.services import jobs


@dataclass(frozen=True, slots=True)
class Node:
    """One Podman host."""

    name: str
    state: str  # up | cordoned | draining | drained | away (no heartbeat for a minute)
    slots: int | None  # None while it is away
    active: int  # executions that hold a slot
    paused: int  # idle sandboxes that live there
    hot: int  # those among them that are frozen in memory
    removals: int  # sandboxes whose container and volumes are still to be removed
    sandboxes: int  # all that live there: `paused`, and those of jobs that run or wait
    waiting: int  # jobs that wait for room there, since their sandbox lives there
    draining_since: int | None  # ms
    cordoned_since: int | None  # ms
    archived: int | None  # while it drains: how many fewer are paused than at its begin


def listing(core: Core) -> list[Node]:
    """All nodes that were heard of within a day, and those that drain or are cordoned."""
    registry = core.store.registry
    living, draining, cordoned = registry.nodes(), registry.draining(), registry.cordoned()
    names = sorted({*living, *draining, *cordoned, *registry.node_names()})
    counts = registry.counts(names)
    return [
        _node(name, living.get(name), draining.get(name), cordoned.get(name), counts[name])
        for name in names
    ]


def drain(core: Core, name: str, *, on: bool) -> Node:
    """Let no new sandbox come to the node and archive those that are idle; or undo that.

    Jobs that run there end there, and so do turns of its paused sandboxes. NotFound.
    """
    _find(core, name)
    jobs.hint_all(core, core.store.registry.drain(name, on))
    return _find(core, name)


def cordon(core: Core, name: str, *, on: bool) -> Node:
    """Let no new sandbox come to the node, and leave there what is there; or undo that.

    Its jobs go on, and its paused sandboxes take their turns there. NotFound.
    """
    _find(core, name)
    jobs.hint_all(core, core.store.registry.cordon(name, on))
    return _find(core, name)


def forget(core: Core, name: str, *, force: bool = False) -> None:
    """Forget a node that is not to come back. NotFound, NodeAlive, NodeInUse.

    `force`: its idle sandboxes are lost with it. Jobs that ran there end first, as `host_lost`.
    """
    node = _find(core, name)
    if node.state in ("up", "cordoned", "draining") or name in core.store.registry.nodes():
        raise conflicts.NodeAlive()
    if force:
        _lose(core, name)
    left = core.store.registry.forget(name, force=force)
    if left:
        shown = ", ".join(f"{many} {word}" for word, many in left.items() if many)
        raise conflicts.NodeInUse(
            f"{name} still has {shown}: start it and drain it, or use force, which loses sandboxes;"
            " jobs that ran there end by themselves (KNIFY_NODE_LOST_SECONDS)",
            detail=left,
        )


def _lose(core: Core, name: str) -> None:
    store, cursor = core.store.sandboxes, -1
    while cursor:
        cursor, found = store.on_node(name, max(cursor, 0))
        for sandbox in found:
            store.lose(name, sandbox, f"its node {name} was given up")


def archive(core: Core, tenant: str, sandbox_id: str) -> None:
    """Let an idle sandbox's node archive it now; harmless when it is archived.

    Raises NotFound, SandboxBusy, SandboxDeleted, SandboxLost.
    """
    found = core.store.sandboxes.find(sandbox_id)
    if found is None or found.tenant != tenant:
        raise errors.NotFound(f"no sandbox {sandbox_id}")
    if found.state is SandboxState.ARCHIVED:
        return
    if found.state in (SandboxState.DELETED, SandboxState.LOST):
        raise (
            conflicts.SandboxDeleted()
            if found.state is SandboxState.DELETED
            else conflicts.SandboxLost()
        )
    if not core.store.sandboxes.want_archived(sandbox_id, found.node or ""):
        raise conflicts.SandboxBusy()


def _find(core: Core, name: str) -> Node:
    found = next((node for node in listing(core) if node.name == name), None)
    if found is None:
        raise errors.NotFound(f"no node {name}")
    return found


def _node(
    name: str,
    facts: dict[str, object] | None,
    drain: dict[str, int] | None,
    cordoned: int | None,
    counts: dict[str, int],
) -> Node:
    slots = facts.get("slots") if facts else None
    return Node(
        name=name,
        state=_state(facts is not None, drain is not None, cordoned is not None, counts),
        slots=slots if isinstance(slots, int) else None,
        active=counts["active"],
        paused=counts["paused"],
        hot=counts["hot"],
        removals=counts["removals"],
        sandboxes=counts["sandboxes"],
        waiting=counts["waiting"],
        draining_since=drain["since"] if drain else None,
        cordoned_since=cordoned,
        archived=max(0, drain["paused"] - counts["paused"]) if drain else None,
    )


def _state(lives: bool, drains: bool, is_cordoned: bool, counts: dict[str, int]) -> str:
    if drains and not any(counts.values()):
        return "drained"
    if not lives:
        return "away"
    if drains:
        return "draining"
    return "cordoned" if is_cordoned else "up"

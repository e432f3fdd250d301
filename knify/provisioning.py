"""The steps until a sandbox is ready: it is made, restored or resumed, and has its files.

Like all steps (`steps.py`), each is idempotent and commits itself by one move of the state.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from knify import credentials, custody, errors, model, units
from knify.core import Core
from knify.exits import Exits
from knify.lifecycle import SandboxState, State
from knify.objects import base
from knify.recovery import Recovery
from knify.sandbox import base as sandbox_base
from knify.services import trees
from knify.staging import clone
from knify.turn import FILES_SECONDS, Hands, Turn, request


class Provisioning:
    """What is to be done in `staging` and `provisioning`."""

    def __init__(self, core: Core, hands: Hands, recovery: Recovery, exits: Exits) -> None:
        self._core = core
        self._store = core.store.executions
        self._hands = hands
        self._driver = hands.driver
        self._recovery = recovery
        self._trees = trees.Trees(core, hands.boot)
        self._clones = clone.Clones(core, hands, exits)

    def begin_provisioning(self, turn: Turn) -> None:
        """Image, credential and secrets must be here.

        ImageMissing, AgentNotConfigured, SecretMissing.
        """
        credentials.check(turn.x.spec.actor)
        custody.check(self._core, turn.x)
        image = turn.x.spec.image or self._core.settings.base_image
        found = self._hands.call(self._driver.image(image))
        if found is None:
            raise errors.ImageMissing(f"this node has no image {image}")
        here: dict[str, Any] = {"node": self._hands.node}
        if turn.x.parent_id and self._is_archived(turn):
            here["state"] = SandboxState.CREATING
        turn.x = self._store.move(
            turn.x,
            State.PROVISIONING,
            detail="Preparing the sandbox",
            sandbox=here,
            image_digest=found.digest or None,
        ).execution

    def _is_archived(self, turn: Turn) -> bool:
        sandbox = self._hands.sandbox(turn)
        if sandbox.node not in (None, self._hands.node):  # adopted by its node since our claim
            raise errors.SandboxError(f"{sandbox.id} lives on {sandbox.node}")
        if sandbox.state is SandboxState.PAUSED and turn.x.is_after_rollback:
            return not self._hands.has_files(turn) and self._hands.is_archive(turn, sandbox)
        if sandbox.state is not SandboxState.ARCHIVED:
            return False
        self._hands.is_archive(turn, sandbox)  # perhaps a newer one than is known
        return True

    def provision(self, turn: Turn) -> None:
        """Make, restore or resume the sandbox; a new one gets its files."""
        sandbox = self._hands.sandbox(turn)
        if self._recovery.has_run(turn, sandbox):
            self._recovery.catch_up(turn)
            return
        if sandbox.state is SandboxState.CREATING:
            try:
                self._create(turn, sandbox)
            except clone.Cancelled:  # the record says so by now: it is cancelled next
                turn.x = self._store.note(turn.x, "", "")
                return
        elif self._hands.thaw(turn, sandbox):
            detail = "Sandbox resumed hot, files in place"
            turn.x = self._store.note(turn.x, "sandbox_resumed", detail)
        else:
            self._hands.open(turn, sandbox)
            turn.x = self._store.note(turn.x, "sandbox_resumed", "Sandbox resumed, files in place")
        turn.x = self._store.move(
            turn.x,
            State.READY,
            detail="Files are in",
            image_digest=self._digest(turn, sandbox),
            start_commit=turn.x.start_commit or sandbox.start_commit,
            sandbox={
                "state": SandboxState.ACTIVE,
                "container": turn.container,
                "hot_until": None,
            },
        ).execution

    def _digest(self, turn: Turn, sandbox: model.Sandbox) -> str | None:
        """Of the image below its container: a sandbox that goes on may have an older one."""
        if sandbox.state is SandboxState.CREATING and not sandbox.container:
            return turn.x.image_digest
        status = self._hands.call(self._driver.inspect(turn.container))
        return (status and status.digest) or turn.x.image_digest

    def _create(self, turn: Turn, sandbox: model.Sandbox) -> None:
        """A new one, or one out of its archive."""
        if sandbox.archive:
            self._restore(turn, sandbox, sandbox.archive)
            self._hands.open(turn, sandbox)
            return
        workspace = self._workspace(sandbox)
        if workspace is not None and self._seed(turn, sandbox, workspace):
            self._core.store.registry.unpacked(self._hands.node, workspace.id)
            self._say_created(turn)
            self._say_mounted(turn, workspace)
            self._hands.open(turn, sandbox)
            return
        self._hands.open(turn, sandbox)
        self._say_created(turn)
        if workspace is not None:
            self._mount(turn, workspace)
            self._say_mounted(turn, workspace)
        if sandbox.repository is not None:
            self._clones.clone(turn, sandbox.repository)

    def _say_created(self, turn: Turn) -> None:
        made = {"container": turn.container}
        turn.x = self._store.note(turn.x, "sandbox_created", "Sandbox provisioned", sandbox=made)

    def _say_mounted(self, turn: Turn, workspace: model.Workspace) -> None:
        detail = f"{workspace.name}@{workspace.version}: {workspace.files} files"
        turn.x = self._store.note(turn.x, "workspace_mounted", detail)

    def _seed(self, turn: Turn, sandbox: model.Sandbox, workspace: model.Workspace) -> bool:
        """Made with a copy of what this node has unpacked; False: its files are to be sent in.

        Whoever died behind that left a container on record; then they are sent in once more.
        """
        if sandbox.container or turn.container:
            return False
        with self._trees.tree(workspace) as tree:
            if tree is None:
                # What another attempt may have left half copied.
                self._hands.guarded(turn, self._driver.remove(sandbox.id), FILES_SECONDS)
                return False
            seed = self._driver.seed(request(sandbox), tree)
            turn.container = self._hands.guarded(turn, seed, FILES_SECONDS)
        return True

    def _restore(self, turn: Turn, sandbox: model.Sandbox, archive: str) -> None:
        """Once the container is on record, all files are in; whoever died before left nothing."""
        if sandbox.container:
            return
        with self._core.sealed.open(archive) as reader:
            unpack = self._driver.unpack(request(sandbox), _chunks(reader))
            turn.container = self._hands.guarded(turn, unpack, FILES_SECONDS)
        turn.x = self._store.note(
            turn.x,
            "sandbox_restored",
            f"Sandbox restored from {archive}, {units.show_size(sandbox.archive_size or 0)}",
            sandbox={"container": turn.container},
        )

    def _workspace(self, sandbox: model.Sandbox) -> model.Workspace | None:
        if sandbox.workspace_id is None:
            return None
        found = self._core.store.workspaces.find(sandbox.workspace_id)
        if found is None:
            raise errors.NotFound("the workspace was deleted before the job began")
        return found

    def _mount(self, turn: Turn, workspace: model.Workspace) -> None:
        assert turn.channel is not None
        with self._core.sealed.open(workspace.key) as reader:
            unpack = turn.channel.put_tar(sandbox_base.WORKSPACE, _chunks(reader), reader.size)
            self._hands.call(unpack, FILES_SECONDS)


async def _chunks(reader: base.Reader) -> AsyncIterator[bytes]:
    """An object's bytes, read in threads: the loop must not wait for disks or networks."""
    while part := await asyncio.to_thread(reader.read, base.CHUNK):
        yield part

"""From a request to a spec, with what only the store knows: workspaces, images, nodes, agents."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from knify import capacity, errors, model, profiles, repositories, spec
from knify.agents import models
from knify.core import Core
from knify.services import images, secrets, shipped

_WORKSPACE = re.compile(r"(?:/workspaces/)?([A-Za-z0-9][A-Za-z0-9._-]{0,99})(?:@(\d{1,9}))?")


def prepare(core: Core, tenant: str, request: Mapping[str, Any]) -> model.ExecutionSpec:
    """What a job in a new sandbox is to do, with its workspace, image and resources.

    BadRequest, ImageMissing, AgentNotConfigured; InsufficientResources when no living node could
    ever hold it.
    """
    wanted = build(core, tenant, request)
    own = spec.workspace(wanted.job_type)
    if own and wanted.workspace_id is None:
        wanted = wanted.evolve(workspace_id=_workspace(core, tenant, own).id)
    wanted = wanted.evolve(image=images.choose(core, wanted))
    written = [kind for kind in capacity.KINDS if request.get(kind) is not None]
    return wanted.evolve(resources=fit(core, wanted.resources, written))


def build(core: Core, tenant: str, request: Mapping[str, Any]) -> model.ExecutionSpec:
    """The same without what a sandbox has already: image and resources."""
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
    secrets.check_all(core, tenant, wanted.secrets)
    path = request.get("workspace_path")
    if path is not None:
        wanted = wanted.evolve(workspace_id=_workspace(core, tenant, path).id)
    _check_agent(core, wanted.actor)
    return wanted


def fit(
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

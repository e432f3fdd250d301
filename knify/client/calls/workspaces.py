"""Workspaces: upload, list, show, download, delete."""

from __future__ import annotations

import uuid

from knify.client import answers, records
from knify.client.calls import base
from knify.client.calls.base import Call


def list_workspaces(
    *, name: str | None = None, page: int | None = None, limit: int | None = None
) -> Call[list[records.Workspace]]:
    """The newest hundred versions of all workspaces or of one `name`, or one page of them."""
    parse = answers.many(records.Workspace, "workspaces")
    return base.get("/workspaces", parse, name=name, page=page, limit=limit)


def workspace(workspace_id: str) -> Call[records.Workspace]:
    """One version of a workspace."""
    return base.get(base.path("workspaces", workspace_id), answers.one(records.Workspace))


def delete_workspace(workspace_id: str) -> Call[None]:
    """Delete one version for good; refused while a job needs it."""
    return base.delete(base.path("workspaces", workspace_id), base.nothing)


def download_workspace(workspace_id: str) -> Call[None]:
    """Its files as one tar."""
    path = base.path("workspaces", workspace_id, "download")
    return Call("GET", path, base.nothing, headers={"Accept-Encoding": "identity"})


def upload(idempotency_key: str | None) -> Call[records.Workspace]:
    """A workspace; its multipart body is added where it is sent."""
    key = idempotency_key or base.new_key()
    # A repeated upload is the same request only with the same boundary.
    boundary = f"knify-{uuid.uuid5(uuid.NAMESPACE_URL, key).hex}"
    kind = f"multipart/form-data; boundary={boundary}"
    headers = {base.IDEMPOTENCY_KEY: key, "Content-Type": kind}
    return Call("POST", "/workspaces", answers.one(records.Workspace), headers=headers)

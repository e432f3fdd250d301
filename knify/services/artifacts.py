"""Artifacts as they are stored: one manifest per execution, one object per file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from knify import errors, model
from knify.core import Core
from knify.objects import base


def folder(execution_id: str) -> str:
    """Where the object store keeps all of one execution's objects."""
    return f"executions/{execution_id}"


def content_key(execution_id: str, n: int) -> str:
    """The object that holds the n-th file; a user's file name never becomes a key."""
    return f"{folder(execution_id)}/files/{n}"


def save_manifest(
    store: base.ObjectStore, execution_id: str, found: Sequence[model.Artifact]
) -> None:
    """Publish the list: only what it names exists for readers."""
    text = json.dumps([asdict(artifact) for artifact in found])
    store.put(f"{folder(execution_id)}/artifacts.json", [text.encode("utf-8", "surrogateescape")])


def listing(core: Core, execution_id: str) -> list[model.Artifact]:
    """An execution's artifacts by path; empty while it has none."""
    try:
        with core.objects.open(f"{folder(execution_id)}/artifacts.json") as reader:
            rows = json.loads(reader.read())
    except errors.ObjectMissing:
        return []
    return [model.Artifact(**row) for row in rows]


def find(core: Core, execution_id: str, path: str) -> model.Artifact:
    """One of them. NotFound."""
    for artifact in listing(core, execution_id):
        if artifact.path == path:
            return artifact
    raise errors.NotFound(f"{execution_id} has no artifact {path}")

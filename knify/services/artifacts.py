"""Artifacts as they are stored: one manifest per execution, one object per file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from knify import conflicts, errors, model
from knify.core import Core
from knify.objects import base


@dataclass(frozen=True, slots=True)
class Result:
    """All that is left of an execution whose command has ended."""

    artifacts: list[model.Artifact]
    outcome: model.Outcome


def folder(execution_id: str) -> str:
    """Where the object store keeps all of one execution's objects."""
    return f"executions/{execution_id}"


def files_folder(execution_id: str) -> str:
    """Where its files are."""
    return f"{folder(execution_id)}/files"


def content_key(execution_id: str, n: int) -> str:
    """The object that holds the n-th file; a user's file name never becomes a key."""
    return f"{files_folder(execution_id)}/{n}"


def manifest_key(execution_id: str) -> str:
    """The object that lists them."""
    return f"{folder(execution_id)}/artifacts.json"


def baseline_key(execution_id: str) -> str:
    """The listing of the workspace before the turn; it is needed until the turn's end."""
    return f"{folder(execution_id)}/baseline"


def save_manifest(
    store: base.ObjectStore,
    execution_id: str,
    found: Sequence[model.Artifact],
    outcome: model.Outcome | None = None,
) -> None:
    """Publish the list: only what it names exists for readers. `outcome`: how the turn ended."""
    rows = [asdict(artifact) for artifact in found]
    text = json.dumps({"artifacts": rows, "outcome": asdict(outcome) if outcome else None})
    store.put(manifest_key(execution_id), [text.encode("utf-8", "surrogateescape")])


def listing(core: Core, execution_id: str) -> list[model.Artifact]:
    """An execution's artifacts by path; empty while it has none."""
    return [model.Artifact(**row) for row in _manifest(core.objects, execution_id)["artifacts"]]


def result(store: base.ObjectStore, execution_id: str) -> Result | None:
    """What was published when its command had ended; None before that."""
    read = _manifest(store, execution_id)
    if read["outcome"] is None:
        return None
    found = [model.Artifact(**row) for row in read["artifacts"]]
    return Result(found, model.Outcome(**read["outcome"]))


def _manifest(store: base.ObjectStore, execution_id: str) -> dict[str, Any]:
    try:
        with store.open(manifest_key(execution_id)) as reader:
            read = json.loads(reader.read())
    except errors.ObjectMissing:
        read = []
    # A bare list was the first form.
    return {"artifacts": read, "outcome": None} if isinstance(read, list) else read


def of(core: Core, x: model.Execution) -> list[model.Artifact]:
    """As `listing`; ArtifactsExpired when they were kept for their time."""
    if x.files_expired_at is not None:
        days = f"{core.settings.artifact_days:g} days"
        raise errors.ArtifactsExpired(f"artifacts are kept {days} after a job's end: they are gone")
    return listing(core, x.id)


def there(artifact: model.Artifact) -> model.Artifact:
    """The same one, whose content can be had. ArtifactWithheld."""
    if artifact.withheld:
        raise conflicts.ArtifactWithheld()
    return artifact


def find(core: Core, x: model.Execution, path: str) -> model.Artifact:
    """One of them. NotFound, ArtifactsExpired, ArtifactWithheld."""
    for artifact in of(core, x):
        if artifact.path == path:
            return there(artifact)
    raise errors.NotFound(f"{x.id} has no artifact {path}")

"""A workspace version as the Jobs API shows it."""

from __future__ import annotations

from typing import Any

from knify import clock, model


def workspace(w: model.Workspace) -> dict[str, Any]:
    """One uploaded version."""
    return {
        "workspace_id": w.id,
        "name": w.name,
        "path": f"/workspaces/{w.name}",
        "created_at": clock.rfc3339(w.created_at),
        "size_bytes": w.size,
        "sha256": w.sha256,
        "version": w.version,
        "files": w.files,
        "upload_sha256": w.upload_sha256 or None,
    }

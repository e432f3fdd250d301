"""What one installation has in Podman: looked at now and then, never while a job waits.

Through Podman's own Python client, imported where it is used: it and what it needs cost memory.
One client for each call, since its HTTP session must not be shared by threads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from knify import errors
from knify.sandbox import base, hostfs, views

MARK = "knify.installation"
_SECONDS = 60  # for one call
_TRIES = 5  # for a list of volumes while others come and go
T = TypeVar("T")


def owned(url: str, installation: str) -> list[base.Listed]:
    """The containers and volumes of its sandboxes, and of no other installation's."""
    return _with_client(url, lambda client: _owned(client, installation))


def storage(url: str) -> tuple[Path, Path]:
    """Folders of this host: where sandboxes' files lie, and where images and containers do."""
    store = _with_client(url, lambda client: client.info())["store"]
    root = hostfs.visible(store["graphRoot"])
    try:
        return hostfs.visible(store["volumePath"]), root
    except (KeyError, errors.SandboxError):
        return root, root


def remove_volume(url: str, installation: str, name: str) -> None:
    """Remove a volume if it is there and ours. SandboxError while a container uses it."""

    def remove(client: Any) -> None:
        for volume in _volumes(client, {"name": f"^{name}$"}):
            if (volume.attrs.get("Labels") or {}).get(MARK) == installation:
                volume.remove()

    _with_client(url, remove)


def remove_old_shells(url: str, installation: str, current: str) -> None:
    """Remove shell volumes of earlier versions that no sandbox stands on any more."""
    from podman import errors as podman_errors

    def remove(client: Any) -> None:
        mine = {"label": [f"{MARK}={installation}", "knify.shell=1"]}
        for volume in _volumes(client, mine):
            if volume.name != current:
                with contextlib.suppress(podman_errors.APIError):  # in use
                    volume.remove()

    _with_client(url, remove)


def _owned(client: Any, installation: str) -> list[base.Listed]:
    mine = {"label": f"{MARK}={installation}"}
    # As rows: asking for each container once more would find some of them gone.
    rows = client.api.get(
        "/containers/json",
        params={"all": True, "filters": f'{{"label":["{MARK}={installation}"]}}'},
    )
    rows.raise_for_status()
    found = [views.listed_container(row) for row in rows.json() or []]
    found += [views.listed_volume(volume.attrs) for volume in _volumes(client, mine)]
    return [row for row in found if row.sandbox_id]


def _volumes(client: Any, filters: dict[str, Any]) -> list[Any]:
    """Podman 4.3 fails to list when a volume goes while it looks at it, anybody's: ask again."""
    from podman import errors as podman_errors

    for _ in range(_TRIES - 1):
        with contextlib.suppress(podman_errors.APIError):
            return list(client.volumes.list(filters=filters))
    return list(client.volumes.list(filters=filters))


def _with_client(url: str, work: Callable[[Any], T]) -> T:
    import podman
    import requests
    from podman import errors as podman_errors

    try:
        with podman.PodmanClient(base_url=f"http+{url}", timeout=_SECONDS) as client:
            return work(client)
    except (podman_errors.PodmanError, requests.RequestException) as failed:
        raise errors.SandboxError(f"podman: {failed}") from failed

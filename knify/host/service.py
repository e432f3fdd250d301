"""What a process without a Podman of its own asks of the operator's Podman service."""

from __future__ import annotations

import http.client
import json
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from knify.host import podman

_API = "/v4.0.0/libpod"
_SECONDS = 30.0


def info(sock: Path) -> dict[str, Any]:
    """As `podman.info`: its account of host, storage and version; empty when it gives none."""
    return get(sock, "/info") or {}


def labels(sock: Path, image: str) -> dict[str, str] | None:
    """Of an image; None when it is not there."""
    found = get(sock, f"/images/{quote(image, safe='')}/json")
    return None if found is None else found.get("Labels") or {}


def locks(sock: Path) -> int:
    """How many containers and volumes there are."""
    listed = (get(sock, path) for path in ("/containers/json?all=true", "/volumes/json"))
    return sum(len(rows or ()) for rows in listed)


def get(sock: Path, path: str) -> Any:
    """What it answers; None when it has no such thing, or does not answer."""
    connection = podman.UnixConnection(sock, timeout=_SECONDS)
    try:
        connection.request("GET", f"{_API}{path}")
        answer = connection.getresponse()
        body = answer.read()
        return json.loads(body) if answer.status == HTTPStatus.OK else None
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()

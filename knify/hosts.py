"""What a job may reach, as users write it: a mode, and names of hosts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from knify import egress, errors

MODES: Final = ("isolated", "outbound", "full")
MOST: Final = 100  # hosts of one job
_HOST = re.compile(r"(\*\.)?([^:*/@\s]{1,253})(?::([0-9]{1,5}))?")


def read(request: Mapping[str, Any], place: str) -> dict[str, Any]:
    """`network_mode` and `allowed_hosts` as records have them; `place` names them in complaints.

    isolated: nothing. outbound: what `allowed_hosts` names. full: any public host, and of the
    operator's own (`KNIFY_EGRESS_HOSTS`) those that `allowed_hosts` names.
    """

    def wrong(field: str, message: str) -> errors.BadRequest:
        return errors.BadRequest(message, detail={"field": f"{place}.{field}" if place else field})

    mode, named = request.get("network_mode", "isolated"), request.get("allowed_hosts") or ()
    if mode not in MODES:
        raise wrong("network_mode", f"network_mode is one of {', '.join(MODES)}")
    if len(named) > MOST:
        raise wrong("allowed_hosts", f"allowed_hosts holds more than {MOST} hosts")
    if mode == "isolated" and "allowed_hosts" in request:
        raise wrong("allowed_hosts", "allowed_hosts needs network_mode outbound or full")
    found = []
    for n, entry in enumerate(named):
        try:
            found.append(_host(entry))
        except ValueError as failed:
            raise wrong(f"allowed_hosts.{n}", f"{entry[:100]!r} {failed}") from failed
        except errors.EgressRefused as failed:
            raise wrong(f"allowed_hosts.{n}", f"{entry[:100]!r} {failed.message}") from failed
    return {"network_mode": mode, "allowed_hosts": tuple(dict.fromkeys(found))}


def _host(entry: str) -> str:
    """`NAME`, `*.NAME`, either perhaps with `:PORT`, as everybody reads it."""
    match = _HOST.fullmatch(entry)
    if match is None:
        raise ValueError("is not NAME, *.NAME or NAME:PORT such as api.github.com")
    port = int(match[3] or 0)
    if match[3] and not 0 < port < 65_536:
        raise ValueError("names no port")
    return f"{match[1] or ''}{egress.name(match[2])}{f':{port}' if port else ''}"

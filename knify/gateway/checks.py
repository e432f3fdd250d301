"""What the doctor asks of the gateway: whether it answers, and what it says of itself."""

from __future__ import annotations

import os
import re
from typing import Any

from knify import errors, kinds
from knify import settings as settings_module
from knify.gateway import client
from knify.host import survey
from knify.host.check import Check


def check_gateway(host: survey.Host) -> Check:
    """The way out of sandboxes: a kernel that lets it in, and a process that answers."""
    release = os.uname().release
    major, minor = (int(part) for part in re.findall(r"\d+", release)[:2])
    if (major, minor) < (5, 8):
        message = f"Linux {release} is too old (5.8): jobs can only be isolated"
        return Check("gateway", "warning", message, "upgrade the kernel")
    found = _status(host.settings)
    if found is not None:
        return Check("gateway", "ok", f"answers, {found['connections']} connections are open")
    if not host.settings.gateway.exists():
        return Check("gateway", "ok", "started by `knify up`")
    cure = f"see {host.settings.home / 'logs' / 'gateway.log'}"
    return Check("gateway", "failure", "does not answer: jobs have no way out", cure)


def check_browser(host: survey.Host) -> Check:
    """The operator's browser, which must not be one Chromium for several tenants."""
    found, tenants = _status(host.settings) or {}, host.settings.browser_tenants
    kind = found.get("browser", "none" if not os.environ.get(kinds.BROWSER_URL) else "unknown")
    if kind == "none":
        return Check("browser", "ok", f"{kinds.BROWSER_URL} is not set: jobs have their own")
    if kind == "unknown":
        return Check("browser", "ok", "looked at when `knify up` runs")
    if kind == "silent":
        cure = f"see whether {kinds.BROWSER_URL} answers /json/version"
        return Check("browser", "warning", "it has not said yet what it is", cure)
    if kind == "own":
        return Check("browser", "ok", "starts one for each connection, as far as is seen")
    message = "is one Chromium for all: jobs see each other's pages and logins there"
    if len(tenants) == 1:
        return Check("browser", "ok", f"{message}; they are of {tenants[0]} alone")
    cure = "take a service that starts one for each connection, or name one tenant in"
    return Check("browser", "warning", message, f"{cure} KNIFY_BROWSER_TENANTS")


def _status(settings: settings_module.Settings) -> dict[str, Any] | None:
    """What it says; None when it does not answer."""
    try:
        return client.Client(settings.gateway).status()
    except errors.GatewayAway:
        return None

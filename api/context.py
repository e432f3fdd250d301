"""What a handler may reach: the core, the stream hub, and who is asking."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import flask

from knify import apikeys
from knify.core import Core

if TYPE_CHECKING:
    from api.health.probe import Probe
    from api.hub import Hub
    from api.metrics.meters import Meters
    from api.shares import Shares
    from api.transfers import Transfers

CORE = "knify.core"
HUB = "knify.hub"
TRANSFERS = "knify.transfers"
STREAMS = "knify.streams"
PROBE = "knify.probe"
METERS = "knify.meters"
OPENAPI = "knify.openapi"


def core() -> Core:
    """The core that this application serves."""
    return cast(Core, flask.current_app.extensions[CORE])


def hub() -> Hub:
    """The process's one subscription to Redis."""
    return cast("Hub", flask.current_app.extensions[HUB])


def streams() -> Shares:
    """The places of open streams."""
    return cast("Shares", flask.current_app.extensions[STREAMS])


def transfers() -> Transfers:
    """Uploads and downloads of workspaces that are under way."""
    return cast("Transfers", flask.current_app.extensions[TRANSFERS])


def meters() -> Meters:
    """What this process counts."""
    return cast("Meters", flask.current_app.extensions[METERS])


def objects() -> Probe:
    """Whether the object store answers."""
    return cast("Probe", flask.current_app.extensions[PROBE])


def key() -> apikeys.ApiKey:
    """The key that this request came with; only where the route needs one."""
    return cast(apikeys.ApiKey, flask.g.key)


def tenant() -> str:
    """Whose data this request may see."""
    return key().tenant

"""Whether a Podman is here, answers, and gives sandboxes ids of their own."""

from __future__ import annotations

from pathlib import Path

from knify.host import podman, subids, survey
from knify.host.check import SETUP, Check


def check_podman(host: survey.Host) -> Check:
    """A Podman that answers, of a major version whose API the driver speaks."""
    if host.service and not host.info:
        cure = "start it on the host; docs/settings.md: KNIFY_PODMAN_URL"
        return Check("podman", "failure", "its service does not say what it is", cure)
    version = host.info["version"]["Version"] if host.service else podman.version()
    if version is None:
        return Check("podman", "failure", "not installed: nothing can run", SETUP)
    if not host.info:
        reason = podman.call("info").reason
        return Check("podman", "failure", f"{version} does not work: {reason}", "see `podman info`")
    if int(version.split(".")[0]) < 4:
        return Check("podman", "failure", f"{version} is too old: 4.3 is needed", "upgrade Podman")
    return Check("podman", "ok", version)


def check_service(host: survey.Host) -> Check:
    """Podman's API: the operator's, else our own."""
    url = host.settings.podman
    if not url.startswith("unix://"):
        message = f"{url} is not a Unix socket: the gateway must run on Podman's own host"
        return Check("podman API", "failure", message, "unset KNIFY_PODMAN_URL")
    path = Path(url.removeprefix("unix://"))
    refused = podman.ping(path)
    if refused is None:
        return Check("podman API", "ok", f"answers on {path}")
    if host.settings.podman_url is None:
        return Check("podman API", "ok", "started by `knify up`")
    cure = "start it, or unset KNIFY_PODMAN_URL"
    return Check("podman API", "failure", f"{path} does not answer: {refused}", cure)


def check_userns(host: survey.Host) -> Check:
    """Ids of their own for sandboxes, and enough of them."""
    total = subids.owned()
    unmapped = host.facts is None or not host.facts.userns_auto
    if unmapped or (total < subids.PER_SANDBOX and host.service is None):
        message = "no ids for user namespaces: sandboxes would share the host's user ids"
        return Check("user ids", "failure", message, SETUP)
    if host.service:
        message = "sandboxes have their own; how many are left cannot be seen from this container"
        return Check("user ids", "ok", message)
    used = podman.mapped_ids()
    room = (total - used) // subids.PER_SANDBOX
    message = f"{total:,} ids, {used:,} used: room for {room:,} more sandboxes"
    if total < subids.WANTED or room < host.settings.slots:
        return Check("user ids", "warning", f"{message}, paused ones included", SETUP)
    return Check("user ids", "ok", message)

"""The one template of all sandboxes: nothing of a request becomes an option of Podman unchecked."""

from __future__ import annotations

import re
from typing import Any

from knify import errors
from knify.host import facts
from knify.sandbox import base

UID = 1000  # of the agent, below the size of the user namespace
USERNS_SIZE = 4096  # ids a sandbox gets; the default of 65,534 uses a host's range up
TMPFS = {"/tmp": 512 * 1024**2, "/var/tmp": 64 * 1024**2, base.RUN: 16 * 1024**2}  # noqa: S108
SHELL = "/.knify"
_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}")
_LABEL = re.compile(r"[\x20-\x7e]{1,255}")


def container_name(sandbox_id: str) -> str:
    """The container of a sandbox."""
    if not _ID.fullmatch(sandbox_id):
        raise errors.SandboxError(f"not a sandbox's id: {sandbox_id!r}")
    return f"knify-{sandbox_id}"


def volume_name(sandbox_id: str, what: str) -> str:
    """The sandbox's volume for `workspace` or `home`.

    Two volumes, not folders of one: a folder that the agent can replace by a symlink would be
    bound from wherever that points to at the next start.
    """
    return f"{container_name(sandbox_id)}-{what}"


def labels(installation: str, request: base.SandboxRequest) -> dict[str, str]:
    """What marks a sandbox's container and volumes as ours."""
    marks = {"knify.installation": installation, "knify.sandbox": request.sandbox_id}
    if request.tenant is not None:
        if not _LABEL.fullmatch(request.tenant):
            raise errors.SandboxError("not a tenant's name")
        marks["knify.tenant"] = request.tenant
    return marks


def container(
    request: base.SandboxRequest,
    host: facts.HostFacts,
    marks: dict[str, str],
    shell: str,
    seccomp: str | None,
) -> dict[str, Any]:
    """The create call's body: a hardened container whose main process is our supervisor."""
    if not _IMAGE.fullmatch(request.image):
        raise errors.BadRequest(f"not an image's name: {request.image!r}")
    return {
        "name": container_name(request.sandbox_id),
        "image": request.image,
        "labels": marks,
        "entrypoint": [f"{SHELL}/busybox", "sh", f"{SHELL}/supervisor.sh"],
        "command": [],
        "stdin": True,  # and kept open when a client hangs up
        "terminal": False,
        "init": host.init,
        "env": _env(request),
        "work_dir": base.WORKSPACE,
        "hostname": "sandbox",
        "restart_policy": "no",
        "systemd": "false",
        "log_configuration": {"driver": "k8s-file"},  # a size limit would drop lines
        "healthconfig": {"Test": ["NONE"]},
        "oci_runtime": host.oci_runtime,
        **_identity(host),
        **_isolation(seccomp),
        **_files(request, shell),
        **_limits(request, host),
    }


def _env(request: base.SandboxRequest) -> dict[str, str]:
    limits = request.resources
    return {
        "HOME": base.HOME,
        "KNIFY_SANDBOX_ID": request.sandbox_id,
        "KNIFY_CPUS": f"{limits.cpus:g}",
        "KNIFY_MEMORY": str(limits.memory),
        "KNIFY_DISK": str(limits.disk),
    }


def _identity(host: facts.HostFacts) -> dict[str, Any]:
    user = {
        "user": f"{UID}:{UID}",
        "passwd_entry": f"agent:*:{UID}:{UID}:agent:{base.HOME}:/bin/sh",
    }
    if not host.userns_auto:
        return user
    # The REST API takes the size from `idmappings` and ignores the one beside `nsmode`.
    return user | {
        "userns": {"nsmode": "auto", "value": f"size={USERNS_SIZE}"},
        "idmappings": {"AutoUserNs": True, "AutoUserNsOpts": {"Size": USERNS_SIZE}},
    }


def _isolation(seccomp: str | None) -> dict[str, Any]:
    private = {"nsmode": "private"}
    return {
        "cap_drop": ["all"],
        "no_new_privileges": True,
        "netns": {"nsmode": "none"},
        "ipcns": private,
        "pidns": private,
        "utsns": private,
        "cgroupns": private,
        "httpproxy": False,  # else the service's own proxy variables would come in
        "env_host": False,
        **({"seccomp_profile_path": seccomp} if seccomp else {}),
    }


def _files(request: base.SandboxRequest, shell: str) -> dict[str, Any]:
    def volume(what: str, dest: str) -> dict[str, Any]:
        options = ["rw", "nosuid", "nodev", "nocopy"]
        return {"Name": volume_name(request.sandbox_id, what), "Dest": dest, "Options": options}

    room = max(request.resources.memory // 2, 16 * 1024**2)  # tmpfs counts as memory
    return {
        "read_only_filesystem": True,
        "image_volume_mode": "ignore",
        "shm_size": min(64 * 1024**2, room),
        "volumes": [
            volume("workspace", base.WORKSPACE),
            volume("home", base.HOME),
            {"Name": shell, "Dest": SHELL, "Options": ["ro", "nosuid", "nodev", "nocopy"]},
        ],
        "mounts": [
            {
                "type": "tmpfs",
                "destination": path,
                "options": [f"size={min(size, room)}", "mode=1777", "nosuid", "nodev"],
            }
            for path, size in TMPFS.items()
        ],
    }


def _limits(request: base.SandboxRequest, host: facts.HostFacts) -> dict[str, Any]:
    limits = request.resources
    if limits.cpus <= 0 or limits.memory < 6 * 1024**2 or limits.pids < 8:
        raise errors.BadRequest("a sandbox needs CPU, 6 MiB of memory and 8 processes")
    resources: dict[str, Any] = {}
    if host.memory_limit:
        resources["memory"] = {"limit": limits.memory, "swap": limits.memory}
    if host.cpu_limit:
        resources["cpu"] = {"period": 100_000, "quota": max(1_000, int(limits.cpus * 100_000))}
    if host.pids_limit:
        resources["pids"] = {"limit": limits.pids}
    # Soft and hard alike: Podman 4.3's REST API swaps the two.
    rlimits = {"nofile": host.nofile, "nproc": host.nproc, "core": 0}
    return {
        "resource_limits": resources,
        "r_limits": [{"type": k, "soft": v, "hard": v} for k, v in rlimits.items()],
    }

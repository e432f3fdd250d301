"""Podman from outside: its command line with our configuration, and its private API service."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knify import errors
from knify import settings as settings_module
from knify.host import containers_conf

# What Podman needs of the environment. An allow-list: API keys and secrets of the operator
# have no business in a process that prepares sandboxes.
_PASSED = (
    *("HOME", "LANG", "PATH", "TMPDIR", "XDG_RUNTIME_DIR"),
    *("CONTAINERS_STORAGE_CONF", "CONTAINERS_REGISTRIES_CONF", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)

SOCKET_PATH_BYTES = 107  # sun_path is 108 bytes with its closing NUL


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished call of the command line."""

    code: int
    out: str
    err: str

    @property
    def ok(self) -> bool:
        """Whether it exited with 0."""
        return self.code == 0

    @property
    def reason(self) -> str:
        """The last line that it wrote to stderr: Podman's own words on what failed."""
        lines = self.err.strip().splitlines()
        return lines[-1] if lines else f"exit code {self.code}"


def environment(conf: Path | None) -> dict[str, str]:
    """The environment of a Podman process that reads `conf` and nothing else."""
    env = {name: os.environ[name] for name in _PASSED if name in os.environ}
    env.setdefault("PATH", os.defpath)
    # Podman 5 complains about cgroups v1 at every call; doctor names the version once.
    env["PODMAN_IGNORE_CGROUPSV1_WARNING"] = "1"
    return env | ({"CONTAINERS_CONF": str(conf)} if conf else {})


def call(
    *args: str, conf: Path | None = None, timeout: float = 30, stdin: bytes | None = None
) -> Answer:
    """Run `podman args`; a call beyond `timeout` seconds is killed and has the code 124."""
    try:
        done = subprocess.run(
            ["podman", *args],
            input=stdin or b"",
            capture_output=True,
            env=environment(conf),
            cwd=conf.parent if conf else None,  # conmon leaves a file `oom` where it is started
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        return Answer(127, "", "podman is not installed")
    except subprocess.TimeoutExpired:
        return Answer(124, "", f"podman {args[0]} took longer than {timeout:.0f} s")
    return Answer(done.returncode, _text(done.stdout), _text(done.stderr))


def installed() -> bool:
    """Whether this machine, or this container, has a Podman of its own."""
    return shutil.which("podman") is not None


def version() -> str | None:
    """The client's version, such as "4.3.1"; None when Podman is missing."""
    answer = call("version", "--format", "{{.Client.Version}}", timeout=15)
    return answer.out.strip() or None if answer.ok else None


def info() -> dict[str, Any]:
    """Podman's own account of host, storage and version; empty when it gives none."""
    answer = call("info", "--format", "json")
    found: dict[str, Any] = json.loads(answer.out) if answer.ok else {}
    return found


def mapped_ids() -> int:
    """How many user ids all containers hold, stopped ones and other people's included."""
    names = call("ps", "--all", "--quiet", "--no-trunc").out.split()
    maps = [json.loads(row) or {} for row in _id_mappings(names) if row.strip()]
    return sum(int(span.rpartition(":")[2]) for one in maps for span in one.get("UidMap") or ())


def _id_mappings(names: list[str]) -> list[str]:
    """A line for each; one that cannot be looked at keeps no other from being counted."""
    if not names:
        return []
    form = "{{json .HostConfig.IDMappings}}"
    answer = call("container", "inspect", "--format", form, *names, timeout=120)
    if answer.ok or len(names) == 1:
        return answer.out.splitlines()
    half = len(names) // 2  # of one that is gone, or half removed, Podman may say nothing at all
    return _id_mappings(names[:half]) + _id_mappings(names[half:])


def socket_path(settings: settings_module.Settings) -> Path:
    """The private service's socket."""
    return settings.run_dir / "podman.sock"


def service_command(settings: settings_module.Settings) -> tuple[list[str], dict[str, str]]:
    """argv and environment of the private API service, for a process supervisor.

    The service answers until it is killed, removes a stale socket itself, and its death
    leaves containers running.
    """
    address = f"unix://{socket_path(settings)}"
    argv = ["podman", "system", "service", "--time", "0", address]
    return argv, environment(containers_conf.path(settings))


def wait_ready(sock: Path, deadline: float) -> None:
    """Wait until the service answers; `deadline` is on `time.monotonic()`'s clock.

    Raises SandboxError with the last failure.
    """
    while True:
        failure = ping(sock)
        if failure is None:
            return
        if time.monotonic() >= deadline:
            raise errors.SandboxError(f"Podman does not answer on {sock}: {failure}")
        time.sleep(0.02)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over the socket of a Podman service."""

    def __init__(self, sock: Path, timeout: float) -> None:
        super().__init__("podman", timeout=timeout)
        self._path = str(sock)

    def connect(self) -> None:
        """Called by the first request."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ping(sock: Path) -> str | None:
    """None when the service answers, else why not."""
    connection = UnixConnection(sock, timeout=2)
    try:
        connection.request("GET", "/_ping")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as failed:
        return str(failed) or type(failed).__name__
    finally:
        connection.close()
    return None if status == 200 else f"status {status}"


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")

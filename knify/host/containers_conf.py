"""The containers.conf that Knify's own Podman service and its probes run with.

Podman reads it alone (`CONTAINERS_CONF` replaces the system's files), so neither
/etc/containers nor a user's configuration is edited or believed.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from knify import settings as settings_module
from knify.host import facts as facts_module
from knify.host import seccomp

# Podman's own list without MKNOD, NET_RAW and AUDIT_WRITE. Sandboxes drop them all; image
# builds and what an operator starts by hand with this file get these.
_CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
)
_INIT_PLACES = ("/usr/bin/catatonit", "/usr/libexec/podman/catatonit", "/usr/sbin/catatonit")
_RUNTIME_PLACES = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin")


@dataclass(frozen=True, slots=True)
class Conf:
    """What differs from host to host."""

    runtime: str  # a name that `runtime_path` resolves, or an absolute path
    nofile: int | None = None  # soft = hard; None while it is still being measured
    nproc: int | None = None
    seccomp: Path | None = None  # a profile of ours; None for Podman's

    def render(self) -> str:
        """The file's text (TOML; JSON's strings and lists are TOML's)."""
        return "\n".join([*self._containers(), "", *self._engine(), ""])

    def write(self, path: Path) -> Path:
        """Write atomically, and only when the text differs; returns `path`."""
        return _put(path, self.render())

    def _containers(self) -> list[str]:
        lines = [
            "# Written by `knify setup`; changes are overwritten.",
            "[containers]",
            f"default_capabilities = {json.dumps(_CAPABILITIES)}",
            # Without a value Podman asks for 1048576 open files, which many hosts refuse. The
            # REST API of 4.x swaps soft and hard, which does nothing to equal ones.
            f"default_ulimits = {json.dumps(self._ulimits())}",
            # The host's proxy variables may hold a password and lead around the gateway.
            "http_proxy = false",
            'log_driver = "k8s-file"',
            # A size limit makes conmon drop lines; the watcher bounds output instead.
            "log_size_max = -1",
        ]
        places = {"init_path": init_path(), "seccomp_profile": self.seccomp}
        return lines + [f"{key} = {json.dumps(str(at))}" for key, at in places.items() if at]

    def _engine(self) -> list[str]:
        path = runtime_path(self.runtime)
        name = Path(self.runtime).name
        lines = [
            "[engine]",
            f"cgroup_manager = {json.dumps('systemd' if has_systemd() else 'cgroupfs')}",
            'events_logger = "file"',
            f"runtime = {json.dumps(name)}",
        ]
        return (
            [*lines, "", "[engine.runtimes]", f"{name} = {json.dumps([path])}"] if path else lines
        )

    def _ulimits(self) -> list[str]:
        named = {"nofile": self.nofile, "nproc": self.nproc}
        return [f"{name}={value}:{value}" for name, value in named.items() if value]


def path(settings: settings_module.Settings) -> Path:
    """Where this installation's file is."""
    return settings.home / "containers.conf"


def write(settings: settings_module.Settings, facts: facts_module.HostFacts) -> Path:
    """Write this installation's file, and its seccomp profile, from what the probe found."""
    profile = seccomp.render()
    place = _put(settings.home / "seccomp.json", profile) if profile else None
    conf = Conf(facts.oci_runtime, facts.nofile, facts.nproc, place)
    return conf.write(path(settings))


def has_systemd() -> bool:
    """Whether systemd runs this host (the test of sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


def init_path() -> str | None:
    """catatonit's path, which `--init` needs."""
    return next((place for place in _INIT_PLACES if Path(place).is_file()), None)


def runtime_path(runtime: str) -> str | None:
    """Where an OCI runtime is installed; None when it is not."""
    if Path(runtime).is_absolute():
        return runtime if Path(runtime).is_file() else None
    return shutil.which(runtime) or shutil.which(runtime, path=":".join(_RUNTIME_PLACES))


def _put(path: Path, text: str) -> Path:
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_suffix(".tmp")
        fresh.write_text(text)
        fresh.replace(path)
    return path

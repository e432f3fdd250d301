"""Measures what containers may do on this host, by starting some.

Nothing is concluded from a version or a file that is merely there: a limit counts as enforced
when a container that goes beyond it was stopped.
"""

from __future__ import annotations

import os
import platform
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from knify import errors
from knify import settings as settings_module
from knify.host import busybox, containers_conf, facts, podman, subids

LABEL = "knify.image=probe"
RUNTIMES = ("crun", "runc")
ULIMITS = (65_536, 16_384, 4_096, 1_024)
_RUN_SECONDS = 30
_MAY_REMAIN = (124, 125, 126, 127)  # Podman's own failures, and our timeout
# Limits that any host permits; without any, Podman asks for 1048576 of each, and few do.
_LEAST = {"nofile": ULIMITS[-1], "nproc": ULIMITS[-1]}
_DEFAULT_FILE = Path("/var/lib/knify/host.json")

# Reads 64 MiB into memory at once, under a limit of 32.
_EAT_MEMORY = ("dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")
_FORK_MANY = "i=0; while [ $i -lt 48 ]; do sleep 2 & i=$((i+1)); done; echo forked"
# Burns CPU, then tells how often the kernel held it back; a slow clock alone proves nothing on
# a busy host.
_BURN_CPU = (
    "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; "
    "cat /sys/fs/cgroup/cpu.stat /sys/fs/cgroup/cpu/cpu.stat 2>/dev/null"
)


@dataclass(frozen=True, slots=True)
class Prober:
    """One imported image and one configuration to start containers with."""

    image: str
    conf: Path

    def run(
        self,
        *options: str,
        command: tuple[str, ...] = ("true",),
        ulimits: dict[str, int] | None = None,
    ) -> podman.Answer:
        """One container to its end; whatever happens it is gone afterwards."""
        name = f"knify-probe-{secrets.token_hex(6)}"
        fixed = ("run", "--rm", "--name", name, "--label", LABEL, "--pull=never", "--network=none")
        limits = [f"--ulimit={kind}={n}:{n}" for kind, n in (_LEAST | (ulimits or {})).items()]
        argv = (*fixed, *limits, *options, self.image, *command)
        answer = podman.call(*argv, conf=self.conf, timeout=_RUN_SECONDS)
        if answer.code in _MAY_REMAIN:
            podman.call("rm", "--force", "--ignore", "--time", "0", name, conf=self.conf)
        return answer

    def shell(self, *options: str, script: str) -> podman.Answer:
        """The same with a script."""
        return self.run(*options, command=("sh", "-c", script))


def facts_file() -> Path:
    """Where this host's facts are kept; `KNIFY_HOST_FACTS` names another place in tests."""
    return Path(os.environ.get("KNIFY_HOST_FACTS") or _DEFAULT_FILE)


def facts_or_probe(settings: settings_module.Settings) -> facts.HostFacts:
    """The saved facts while Podman, the kernel and the operator's runtime are the same.

    Else they are measured (some seconds) and saved. Raises ConfigError when no container starts.
    """
    saved = facts.load(facts_file())
    if saved and _still_true(saved, settings):
        return saved
    if settings.podman_url and not podman.installed():
        raise errors.ConfigError(
            f"{facts_file()} does not describe this host: run `knify setup` there, "
            "and mount the file's folder if this is a container"
        )
    return probe_and_save(settings)


def probe_and_save(settings: settings_module.Settings) -> facts.HostFacts:
    """Measure now, whatever is saved."""
    found = measure(settings)
    found.save(facts_file())
    return found


def measure(settings: settings_module.Settings) -> facts.HostFacts:
    """Start containers and see. Raises ConfigError when none starts, with each one's reason."""
    version = podman.version()
    if version is None:
        raise errors.ConfigError("Podman is not installed: run `make setup` as root")
    with tempfile.TemporaryDirectory(prefix="knify-probe-") as folder, tiny_image() as image:
        conf = Path(folder) / "containers.conf"
        runtime = _runtime(image, conf, settings.oci_runtime)
        prober = Prober(image, containers_conf.Conf(runtime).write(conf))
        return facts.HostFacts(
            oci_runtime=runtime,
            nofile=_highest(prober, "nofile"),
            nproc=_highest(prober, "nproc"),
            userns_auto=_has_userns(prober),
            init=_has_init(prober),
            cgroup_version=cgroup_version(),
            memory_limit=limits_memory(prober),
            pids_limit=limits_pids(prober),
            cpu_limit=limits_cpu(prober),
            podman_version=version,
            kernel=platform.release(),
        )


def cgroup_version() -> int:
    """2 for the unified hierarchy alone, 1 for legacy and hybrid."""
    return 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1


def lacks(found: facts.HostFacts) -> list[str]:
    """The names of the facts that are not what Knify wants."""
    wanted = ("userns_auto", "init", "memory_limit", "pids_limit", "cpu_limit")
    return [name for name in wanted if not getattr(found, name)]


def _still_true(saved: facts.HostFacts, settings: settings_module.Settings) -> bool:
    if settings.oci_runtime and saved.oci_runtime != settings.oci_runtime:
        return False
    now = replace(saved, podman_version=_version(saved, settings), kernel=platform.release())
    return now == saved


def _version(saved: facts.HostFacts, settings: settings_module.Settings) -> str:
    """Podman's now; a container that drives the host's Podman has to believe the host."""
    if settings.podman_url and not podman.installed():
        return saved.podman_version
    return podman.version() or ""


@contextmanager
def tiny_image() -> Iterator[str]:
    """A tiny image of its own name, so that two probes at once do not disturb each other."""
    binary = busybox.find()
    if binary is None:
        raise errors.ConfigError("no static busybox: install the package busybox-static")
    _prune()
    name = f"localhost/knify/probe:{secrets.token_hex(6)}"
    packed = busybox.image_tar(binary)
    change = f"LABEL {LABEL}"
    with tempfile.NamedTemporaryFile(suffix=".tar") as tar:
        tar.write(packed)
        tar.flush()
        made = podman.call("import", "--quiet", "--change", change, tar.name, name, timeout=60)
    if not made.ok:
        raise errors.ConfigError(f"Podman cannot store an image: {made.reason}")
    try:
        yield name
    finally:
        podman.call("rmi", "--force", name, timeout=60)


def _prune() -> None:
    """Remove what probes left that were killed; an hour's age tells them from running ones."""
    old = ("--force", "--filter", f"label={LABEL}", "--filter", "until=1h")
    podman.call("container", "prune", *old)
    podman.call("image", "prune", "--all", *old)


def _runtime(image: str, conf: Path, chosen: str | None) -> str:
    """The first OCI runtime that starts a container, asked for very little."""
    reasons = []
    for runtime in (chosen,) if chosen else RUNTIMES:
        if containers_conf.runtime_path(runtime) is None:
            reasons.append(f"{runtime}: not installed")
            continue
        answer = Prober(image, containers_conf.Conf(runtime).write(conf)).run()
        if answer.ok:
            return runtime
        reasons.append(f"{runtime}: {answer.reason}")
    raise errors.ConfigError("no OCI runtime starts a container here; " + "; ".join(reasons))


def _highest(prober: Prober, name: str) -> int:
    """The highest of ULIMITS that a container may be given, soft and hard alike."""
    allowed = (n for n in ULIMITS[:-1] if prober.run(ulimits={name: n}).ok)
    return next(allowed, ULIMITS[-1])


def _has_userns(prober: Prober) -> bool:
    """Whether a container gets ids of its own: root inside is not root outside."""
    options = (f"--userns=auto:size={subids.PER_SANDBOX}", "--user", "1000:1000")
    answer = prober.run(*options, command=("cat", "/proc/self/uid_map"))
    fields = answer.out.split()
    return answer.ok and fields[0] == "0" and fields[1] != "0"


def _has_init(prober: Prober) -> bool:
    """Whether something else than the command is process 1."""
    answer = prober.shell("--init", script="echo $$")
    return answer.ok and answer.out.strip() != "1"


def limits_memory(prober: Prober) -> bool:
    """Whether a container that takes more memory than it has is killed."""
    limited = prober.run("--memory", "32m", "--memory-swap", "32m", command=_EAT_MEMORY)
    return limited.code == 137 and prober.run(command=_EAT_MEMORY).ok


def limits_pids(prober: Prober) -> bool:
    """Whether forking beyond the limit fails."""
    limited = prober.shell("--pids-limit", "16", script=_FORK_MANY)
    return "can't fork" in limited.err and "forked" not in limited.out


def limits_cpu(prober: Prober) -> bool:
    """Whether the kernel held a busy container back."""
    answer = prober.shell("--cpus", "0.2", script=_BURN_CPU)
    return _throttled(answer.out.splitlines())


def _throttled(lines: list[str]) -> bool:
    counts = (line.split() for line in lines if line.startswith("nr_throttled "))
    return any(int(count) > 0 for _, count in counts)

"""A Podman service of our own and small images, for tests against real containers."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from knify.host import facts

BUSYBOX = Path("/bin/busybox")
IMAGE = "localhost/knify/test-busybox:latest"
BARE = "localhost/knify/test-bare:latest"  # one static program, no shell, no folders
_CONFIG = """\
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
FACTS = facts.HostFacts(
    oci_runtime="runc",
    nofile=4096,
    nproc=4096,
    userns_auto=True,
    init=True,
    cgroup_version=1,
    memory_limit=True,
    pids_limit=True,
    cpu_limit=True,
    podman_version="4.3.1",
    kernel=os.uname().release,
)


def missing() -> str | None:
    """Why real containers cannot be tested here; None when they can."""
    if os.geteuid() != 0:
        return "not root"
    if shutil.which("podman") is None:
        return "no podman"
    if "containers:" not in Path("/etc/subuid").read_text():
        return "no range of ids for containers in /etc/subuid"
    return None if BUSYBOX.exists() else "no busybox-static"


@contextmanager
def service() -> Iterator[str]:
    """A running `podman system service`; yields its URL."""
    with restartable() as (url, _):
        yield url


@contextmanager
def restartable() -> Iterator[tuple[str, Callable[[], None]]]:
    """The same, with a function that kills the service and starts another."""
    folder = Path(tempfile.mkdtemp(prefix="knify-test-"))
    config, socket = folder / "containers.conf", folder / "p.sock"
    config.write_text(_CONFIG)
    running = [start(config, socket)]

    def kill() -> None:
        running[0].kill()
        running[0].wait()

    def restart() -> None:
        kill()
        socket.unlink()
        running[0] = start(config, socket)

    try:
        make_images()
        yield f"unix://{socket}", restart
    finally:
        kill()
        shutil.rmtree(folder, ignore_errors=True)


def start(config: Path, socket: Path) -> subprocess.Popen[bytes]:
    """Start the service and wait for its socket."""
    process = subprocess.Popen(
        ["podman", "system", "service", "-t", "0", f"unix://{socket}"],
        cwd=socket.parent,  # there conmon leaves a file `oom` when a container runs out of memory
        env=os.environ | {"CONTAINERS_CONF": str(config)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 20
    while not socket.exists():
        assert time.monotonic() < deadline, "the Podman service does not start"
        time.sleep(0.05)
    return process


def make_images() -> None:
    """Import the two test images unless they are there."""
    names = "sh cat ls id env sleep seq head tr kill touch rm ps dd printf true false"
    applets = names.split(" ")
    _image(IMAGE, ["bin/busybox"], [f"bin/{name}" for name in applets], "/bin:/usr/bin")
    _image(BARE, ["app"], [], "/bin")


def _image(name: str, programs: list[str], links: list[str], path: str) -> None:
    if subprocess.run(["podman", "image", "exists", name], check=False).returncode == 0:
        return
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for program in programs:
            tar.add(BUSYBOX.resolve(), program)
        for link in links:
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    changes = [f"ENV PATH={path}", "ENV FROM_IMAGE=yes", 'ENTRYPOINT ["/bin/busybox"]']
    if name == IMAGE:
        changes += ['CMD ["echo","default"]', "USER root", "VOLUME /declared"]
    words = [word for change in changes for word in ("-c", change)]
    subprocess.run(
        ["podman", "import", *words, "-", name],
        input=content.getvalue(),
        check=True,
        capture_output=True,
    )

"""A Podman of its own: another root, another record, another socket, as on a second node.

    with podman.root() as node:
        driver = PodmanDriver(node.url, installation, engine.FACTS)
        node.reboot()

Images come from the machine's own store, read only. Ids of user namespaces are counted for each
root, so two roots may give the same ones out; for tests that does no harm.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.sandbox import engine

_SECONDS = 20.0


class Root:
    """A Podman root and its service."""

    def __init__(self, folder: Path) -> None:
        """`folder` is empty and has a short path: sockets lie in it."""
        self.folder = folder
        self.socket = folder / "p.sock"
        self.run = folder / "run"  # what a reboot forgets
        self.store = folder / "store"
        self._conf, self._storage = folder / "containers.conf", folder / "storage.conf"
        self._write()
        self._service: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For `PodmanDriver` and `KNIFY_PODMAN_URL`."""
        return f"unix://{self.socket}"

    @property
    def env(self) -> dict[str, str]:
        """With these variables the command `podman` works on this root."""
        return {"CONTAINERS_CONF": str(self._conf), "CONTAINERS_STORAGE_CONF": str(self._storage)}

    def podman(self, *words: str) -> str:
        """What a podman command prints."""
        env = os.environ | self.env
        done = subprocess.run(["podman", *words], env=env, capture_output=True, check=True)
        return done.stdout.decode()

    def start(self) -> None:
        """Start the service and wait for its socket."""
        self.socket.unlink(missing_ok=True)
        self._service = subprocess.Popen(
            ["podman", "system", "service", "-t", "0", self.url],
            cwd=self.folder,  # there conmon leaves a file `oom` when a container runs out of memory
            env=os.environ | self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _SECONDS
        while not self.socket.exists():
            assert time.monotonic() < deadline, "the Podman service does not start"
            time.sleep(0.02)

    def kill_service(self) -> None:
        """kill -9 of the service alone."""
        if self._service is not None:
            self._service.kill()
            self._service.wait()
            self._service = None

    def power_off(self) -> None:
        """Everything dies at once and what lay in memory is forgotten; files stay."""
        self.kill_service()
        self._kill_all()
        self._unmount()
        for name in self._containers():
            shutil.rmtree(f"/run/runc/{name}", ignore_errors=True)
            for group in Path("/sys/fs/cgroup").glob(f"*/libpod_parent/*{name}*"):
                with contextlib.suppress(OSError):
                    group.rmdir()
        shutil.rmtree(self.run, ignore_errors=True)

    def reboot(self) -> None:
        """The same, and the service starts again."""
        self.power_off()
        self.start()

    def remove(self) -> None:
        """Leave nothing behind."""
        self.power_off()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self) -> None:
        places = {"tmp_dir": self.run / "libpod", "static_dir": self.store / "libpod"}
        places["volume_path"] = self.store / "volumes"
        engine_lines = [
            "[engine]",
            'runtime = "runc"',
            'cgroup_manager = "cgroupfs"',
            'events_logger = "file"',
            'lock_type = "file"',  # those in shared memory are the machine's: others use them
            *(f'{name} = "{at}"' for name, at in places.items()),
        ]
        self._conf.write_text("\n".join(engine_lines) + "\n")
        shared = json.loads(
            subprocess.run(
                ["podman", "info", "--format", "json"], capture_output=True, check=True
            ).stdout
        )["store"]["graphRoot"]
        self._storage.write_text(
            f'[storage]\ndriver = "overlay"\nrunroot = "{self.run}/storage"\n'
            f'graphroot = "{self.store}"\n'
            f'[storage.options]\nadditionalimagestores = ["{shared}"]\n'
        )

    def _kill_all(self) -> None:
        """conmons carry this root's folder in their command line; containers are their children."""
        deadline = time.monotonic() + _SECONDS
        while found := list(self._processes()):
            for name in self._containers():  # in cgroup v1 what is frozen cannot die
                with contextlib.suppress(OSError):
                    Path(
                        f"/sys/fs/cgroup/freezer/libpod_parent/libpod-{name}/freezer.state"
                    ).write_text("THAWED")
            assert time.monotonic() < deadline, f"still there: {found}"
            for pid in found:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.02)

    def _processes(self) -> Iterator[int]:
        mark = f"{self.folder}/".encode()
        containers = self._containers()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes()
                groups = (entry / "cgroup").read_text()
            except OSError:
                continue
            pid = int(entry.name)
            if pid != os.getpid() and (
                (command.startswith((b"/usr/bin/conmon", b"conmon", b"podman")) and mark in command)
                or (command and any(name in groups for name in containers))
            ):
                yield pid

    def _containers(self) -> list[str]:
        folder = self.store / "overlay-containers"
        return (
            [entry.name for entry in folder.iterdir() if len(entry.name) == 64]
            if (folder.is_dir())
            else []
        )

    def _unmount(self) -> None:
        """What containers had mounted; the deepest first."""
        for _ in range(3):
            rows = Path("/proc/self/mounts").read_text().splitlines()
            places = [row.split()[1] for row in rows]
            for place in sorted(
                (at for at in places if at.startswith(f"{self.folder}/")), reverse=True
            ):
                subprocess.run(["umount", "-l", place], capture_output=True, check=False)


@contextmanager
def root() -> Iterator[Root]:
    """A second Podman with the test images, removed in the end."""
    engine.make_images()
    node = Root(Path(tempfile.mkdtemp(prefix="kn-pod-")))
    try:
        node.start()
        yield node
    finally:
        node.remove()

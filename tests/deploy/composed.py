"""docker-compose.yml, started as a whole by podman-compose or docker-compose.

The images are built anew, of packages that this host's own pip and apt find.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from knify import errors
from knify import settings as settings_module
from knify.client import Client
from knify.host import containers_conf, podman, probe, purge
from tests.parts.stack import eventually

PROJECT = Path(__file__).resolve().parents[2]
KEY = "sk-of-the-operator-0123456789"
PODMAN_COMPOSE = (sys.executable, "-m", "podman_compose")
DOCKER_COMPOSE = ("docker-compose",)


class Composed:
    """The project's containers, all of a folder's."""

    def __init__(
        self, folder: Path, tool: tuple[str, ...], images: tuple[str, str], conf: Path, more: str
    ) -> None:
        """`images`: the server's, and that of the parts of others; `more`: an override."""
        self.name = f"kn{secrets.token_hex(4)}"
        self.conf = conf
        self._tool, self._folder = tool, folder
        self._files = [PROJECT / "docker-compose.yml", folder / "more.yml"]
        self._files[1].write_text(more)
        self.passwords = folder / "passwords"
        subprocess.run(["sh", PROJECT / "deploy" / "passwords.sh", self.passwords], check=True)
        self.backups = folder / "backups"
        self.backups.mkdir(mode=0o700)
        os.chown(self.backups, 10001, 10001)
        for vendor in ("openai", "anthropic"):
            file = self.passwords / f"{vendor}_api_key"
            file.chmod(0o644)
            file.write_text(KEY)
        names = ("port", "ws_port", "flower_port", "prometheus_port")
        self.ports = dict(zip(names, _free_ports(len(names)), strict=True))
        server, parts = images
        self._env = folder / "env"
        values = {
            "KNIFY_PASSWORDS": str(self.passwords),
            "KNIFY_BACKUPS": str(self.backups),
            **{f"KNIFY_{n}_IMAGE": server for n in ("REDIS", "SERVER")},
            **{f"KNIFY_{n}_IMAGE": parts for n in ("PROXY", "S3", "PROMETHEUS")},
            **{f"KNIFY_{n.upper()}": str(port) for n, port in self.ports.items()},
            "KNIFY_NODE": self.name,
            "KNIFY_WORKERS": "2",
            "KNIFY_PODMAN_DIR": str(folder),
            "KNIFY_PODMAN_STORAGE": podman.info()["store"]["graphRoot"],
            "KNIFY_DISK_RESERVE": "0",
        }
        self._env.write_text("".join(f"{name}={value}\n" for name, value in values.items()))

    def call(self, *words: str) -> str:
        """What it prints."""
        files = [word for file in self._files for word in ("-f", str(file))]
        argv = [*self._tool, "-p", self.name, *files, "--env-file", str(self._env), *words]
        env = {n: v for n, v in os.environ.items() if not n.startswith("KNIFY_")}
        more = {
            "CONTAINERS_CONF": str(self.conf),
            "DOCKER_HOST": f"unix://{self._folder}/podman.sock",
        }
        done = subprocess.run(
            argv, env=env | more, cwd=self._folder, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr[-4_000:]
        return done.stdout

    def containers(self, service: str = "") -> list[str]:
        """Their names."""
        named = f"name=^{self.name}[-_]{service}"
        listed = podman.call("ps", "-a", "--format", "{{.Names}}", "--filter", named)
        return listed.out.split()

    def secret(self, name: str) -> str:
        """What one of its files holds."""
        return (self.passwords / name).read_text().strip()

    @contextmanager
    def client(self) -> Iterator[Client]:
        """With the first admin key, when jobs can run."""
        key = eventually(self.key, seconds=180)
        with Client(f"http://127.0.0.1:{self.ports['port']}", key) as client:
            eventually(lambda: self._is_ready(client), seconds=180)
            yield client

    def key(self) -> str:
        """The first admin key; empty while there is none."""
        names = self.containers("api")
        if not names:
            return ""
        return podman.call("exec", names[0], "cat", "/srv/knify/admin.key").out.strip()

    def _is_ready(self, client: Client) -> bool:
        time.sleep(0.2)
        try:
            return client.ready().ready
        except errors.KnifyError:  # nobody listens yet
            return False

    def installation(self) -> str:
        """Its id; empty when it has none yet."""
        names = self.containers("api")
        if not names:
            return ""
        return podman.call("exec", names[0], "cat", "/srv/knify/installation").out.strip()


@contextmanager
def running(
    tool: tuple[str, ...], images: tuple[str, str], conf: Path, more: str, *up: str
) -> Iterator[Composed]:
    """All containers, and Podman's service for the workers. `up`: words after `up -d`."""
    with tempfile.TemporaryDirectory(prefix="kn-") as folder:
        place = Path(folder) / "podman.sock"
        argv = ["podman", "system", "service", "--time", "0", f"unix://{place}"]
        with subprocess.Popen(argv, env=podman.environment(conf)) as service:
            found = Composed(Path(folder), tool, images, conf, more)
            try:
                podman.wait_ready(place, time.monotonic() + 30)
                with _checking(found):
                    found.call("up", "-d", *up)
                    yield found
            finally:
                installation = found.installation()
                found.call("down", "-v", "-t", "5")
                if installation:
                    purge.purge(installation, conf)
                service.kill()


@contextmanager
def _checking(composed: Composed) -> Iterator[None]:
    """Does what systemd's timers would: docker-compose waits for what health checks say."""
    over = threading.Event()

    def check() -> None:
        while not over.wait(3):
            for name in composed.containers():
                with contextlib.suppress(Exception):
                    podman.call("healthcheck", "run", name, conf=composed.conf, timeout=30)

    thread = threading.Thread(target=check, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(60)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _is_missing(name: str) -> bool:
    places = [Path(folder) / name for folder in ("/usr/lib/podman", "/usr/libexec/podman")]
    return not any(place.is_file() for place in places) and shutil.which(name) is None


def make_conf(folder: Path) -> Path:
    """How Podman is to be asked on this host."""
    if missing := [name for name in ("aardvark-dns", "iptables") if _is_missing(name)]:
        pytest.skip(f"containers cannot find each other here: install {' and '.join(missing)}")
    settings = settings_module.load({"KNIFY_HOME": str(folder)})
    return containers_conf.write(settings, probe.facts_or_probe(settings))


@contextmanager
def built(conf: Path, folder: Path, recipe: str, *wanted: str) -> Iterator[str]:
    """An image of a recipe in `deploy/`, made of packages that this host's pip finds."""
    wheels = folder / "wheels"
    argv = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(wheels)]
    subprocess.run([*argv, *wanted], check=True, timeout=900)
    config = folder / "pip.conf"
    config.write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    name = f"localhost/knify/test-{Path(recipe).parent.name}:{secrets.token_hex(6)}"
    base = settings_module.load({}).base_image
    made = podman.call(
        *("build", "--pull=never", "--network=host", "--layers=false", "--tag", name),
        *("--file", str(PROJECT / recipe), f"--build-arg=BASE={base}"),
        *(f"--volume={wheels}:/wheels:ro", f"--volume={config}:/etc/pip.conf:ro"),
        str(PROJECT),
        conf=conf,
        timeout=900,
    )
    assert made.ok, made.err[-4_000:]
    try:
        yield name
    finally:
        podman.call("rmi", "--force", name, timeout=60)

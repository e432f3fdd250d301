"""docker-compose.yml, started as a whole: an agent works in it, its model behind the gateway.

The server's image is built anew, of packages that this host's own pip finds.
"""

from __future__ import annotations

import configparser
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from knify import errors
from knify import settings as settings_module
from knify.client import Client
from knify.host import containers_conf, images, podman, probe, purge
from tests.parts import standin
from tests.parts.stack import eventually

pytestmark = [pytest.mark.podman, pytest.mark.slow, pytest.mark.timeout(1_800)]

PROJECT = Path(__file__).resolve().parents[2]
AGENTS = "localhost/knify/agents:latest"
KEY = "sk-of-the-operator-0123456789"
#: A stub of the models beside the others, on their network.
OVERRIDE = f"""
services:
  models:
    image: ${{KNIFY_SERVER_IMAGE}}
    init: true
    working_dir: /src
    command: ["python", "-m", "tests.parts.model_server", "8123"]
    volumes: ["{PROJECT}/tests:/src/tests:ro"]
    networks: [inside]
  gateway:
    environment:
      KNIFY_ANTHROPIC_BASE_URL: http://models:8123
      KNIFY_OPENAI_BASE_URL: http://models:8123/v1
"""


class Composed:
    """The project's containers."""

    def __init__(self, folder: Path, image: str, conf: Path) -> None:
        self.name = f"kn{secrets.token_hex(4)}"
        self.conf = conf
        with socket.socket() as probe_, socket.socket() as other:
            probe_.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            self.port, ws_port = probe_.getsockname()[1], other.getsockname()[1]
        self._files = [PROJECT / "docker-compose.yml", folder / "more.yml"]
        self._files[1].write_text(OVERRIDE)
        self._env = folder / "env"
        values = {
            "KNIFY_REDIS_PASSWORD": secrets.token_hex(24),
            "KNIFY_REDIS_IMAGE": image,
            "KNIFY_SERVER_IMAGE": image,
            "KNIFY_NODE": self.name,
            "KNIFY_PORT": str(self.port),
            "KNIFY_WS_PORT": str(ws_port),
            "KNIFY_WORKERS": "2",
            "KNIFY_PODMAN_DIR": str(folder),
            "KNIFY_PODMAN_STORAGE": podman.info()["store"]["graphRoot"],
            "KNIFY_DISK_RESERVE": "0",
            "OPENAI_API_KEY": KEY,
            "ANTHROPIC_API_KEY": KEY,
        }
        self._env.write_text("".join(f"{name}={value}\n" for name, value in values.items()))

    def call(self, *words: str) -> str:
        """What podman-compose prints."""
        files = [word for file in self._files for word in ("-f", str(file))]
        argv = [sys.executable, "-m", "podman_compose", "-p", self.name, *files]
        env = {n: v for n, v in os.environ.items() if not n.startswith("KNIFY_")}
        done = subprocess.run(
            [*argv, "--env-file", str(self._env), *words],
            env=env | {"CONTAINERS_CONF": str(self.conf)},
            cwd=self._env.parent,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-4_000:]
        return done.stdout

    def containers(self, service: str = "") -> list[str]:
        """Their names."""
        named = f"name=^{self.name}[-_]{service}"
        listed = podman.call("ps", "-a", "--format", "{{.Names}}", "--filter", named)
        return listed.out.split()

    @contextmanager
    def client(self) -> Iterator[Client]:
        """With the first admin key, when jobs can run."""
        key = eventually(self._key, seconds=120)
        with Client(f"http://127.0.0.1:{self.port}", key) as client:
            eventually(lambda: self._is_ready(client), seconds=120)
            yield client

    def _key(self) -> str:
        names = self.containers("api")
        return podman.call("exec", names[0], "cat", "/srv/knify/admin.key").out.strip()

    def _is_ready(self, client: Client) -> bool:
        time.sleep(0.2)
        try:
            return client.ready().ready
        except errors.KnifyError:  # nobody listens yet
            return False

    def installation(self) -> str:
        names = self.containers("api")
        return podman.call("exec", names[0], "cat", "/srv/knify/installation").out.strip()


def _is_missing(name: str) -> bool:
    places = [Path(folder) / name for folder in ("/usr/lib/podman", "/usr/libexec/podman")]
    return not any(place.is_file() for place in places) and shutil.which(name) is None


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """How Podman is to be asked on this host."""
    if missing := [name for name in ("aardvark-dns", "iptables") if _is_missing(name)]:
        pytest.skip(f"containers cannot find each other here: install {' and '.join(missing)}")
    settings = settings_module.load({"KNIFY_HOME": str(tmp_path_factory.mktemp("home"))})
    return containers_conf.write(settings, probe.facts_or_probe(settings))


@pytest.fixture(scope="module")
def server(conf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image of the server's parts, made of packages that this host's pip finds."""
    wheels = tmp_path_factory.mktemp("wheels")
    more = ("setuptools>=69", "wheel", "async-timeout")  # Redis's client below Python 3.11.3
    wanted = [*_required("embedded", "flower"), *more]
    argv = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(wheels), *wanted]
    subprocess.run(argv, check=True, timeout=600)
    config = wheels.with_name("pip.conf")
    config.write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    name = f"localhost/knify/test-server:{secrets.token_hex(6)}"
    base = settings_module.load({}).base_image
    built = podman.call(
        *("build", "--pull=never", "--network=host", "--layers=false", "--tag", name),
        *("--file", str(PROJECT / "deploy" / "Containerfile"), f"--build-arg=BASE={base}"),
        *(f"--volume={wheels}:/wheels:ro", f"--volume={config}:/etc/pip.conf:ro"),
        str(PROJECT),
        conf=conf,
        timeout=900,
    )
    assert built.ok, built.err[-4_000:]
    yield name
    podman.call("rmi", "--force", name, timeout=60)


def _required(*extras: str) -> list[str]:
    """What setup.cfg names."""
    setup = configparser.ConfigParser()
    setup.read(PROJECT / "setup.cfg")
    more = (setup["options.extras_require"][extra] for extra in extras)
    parts = (setup["options"]["install_requires"], *more)
    return [line.strip() for part in parts for line in part.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def composed(server: str, conf: Path) -> Iterator[Composed]:
    """All containers, and Podman's service for the workers."""
    with tempfile.TemporaryDirectory(prefix="kn-") as folder:
        place = Path(folder) / "podman.sock"
        argv = ["podman", "system", "service", "--time", "0", f"unix://{place}"]
        with subprocess.Popen(argv, env=podman.environment(conf), cwd=folder) as service:
            found = Composed(Path(folder), server, conf)
            try:
                podman.wait_ready(place, time.monotonic() + 30)
                found.call("up", "-d")
                yield found
            finally:
                installation = found.installation()
                found.call("down", "-v", "-t", "5")
                if installation:
                    purge.purge(installation, conf)
                service.kill()


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    with standin.image() as name:
        yield name


@pytest.mark.parametrize("kind", ["codex", "claude"])
def test_an_agent_works_in_it_and_its_next_job_goes_on(
    composed: Composed, image: str, kind: str
) -> None:
    if kind == "claude" and not images.exists(AGENTS):
        pytest.skip("the agents' image is not here: knify images build agents")
    agent = {"job_type": f"{kind}_task", "image": image if kind == "codex" else AGENTS}
    prompt = "SAY I begin\nWRITE src/a.txt: one\nRUN ls /sys/class/net; env\nSAY All done"

    with composed.client() as client:
        job = client.wait(client.create_job(agent | {"prompt": prompt}).job_id, timeout=120)
        again = {"job_type": agent["job_type"], "prompt": "RECALL"}
        more = client.wait(client.continue_job(job.id, again).job_id, timeout=120)
        told = [event for event in client.output(job.id) if event["type"] == "tool_result"]
        recalled = client.output(more.id)[-1]

    assert (job.status, job.error) == ("completed", None)
    assert told[-1]["output"].split()[0] == "lo"
    assert job.raw["usage"]["model_calls"] == 3
    assert (more.status, more.error) == ("completed", None)
    assert "SAY I begin" in recalled["result"]


def test_only_the_gateway_has_the_keys_of_models(composed: Composed) -> None:
    """In its environment; Podman shows that to the host's root."""
    names = composed.containers()
    shown = {name: podman.call("inspect", name, conf=composed.conf).out for name in names}

    assert len(names) == 7  # with two workers, and the stub
    assert all(f'"{name}"' in text for name, text in shown.items())
    assert [name for name, text in shown.items() if KEY in text] == composed.containers("gateway")


def test_an_isolated_job_and_one_that_may_go_out_run_in_it(composed: Composed) -> None:
    """The stub is a host of the operator's network, and no job reaches it by that."""
    ask = "curl -s -o /dev/null -w '%{http_code}' http://models:8123/; ls /sys/class/net"

    with composed.client() as client:
        spec = {"job_type": "command_task", "command": ask}
        shut = client.wait(client.create_job(spec).job_id, timeout=60)
        outbound = {"network_mode": "outbound", "allowed_hosts": ["models"]}
        out = client.wait(client.create_job(spec | outbound).job_id, timeout=60)
        said = [[e["line"] for e in client.output(x.id, raw=True)] for x in (shut, out)]
        told = [e["detail"] for e in client.events(out.id) if e["stage"] == "egress_refused"]

    assert said == [["000lo"], ["403lo"]]
    assert len(told) == 1

"""Files in `deploy/` for others' programs, as those programs read them."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.parts.stack import eventually

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
pytestmark = pytest.mark.slow


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name} (Debian's package)")
    return found


def checked(*words: str | Path) -> str:
    """What it says, when it is content."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A folder with a certificate of its own making."""
    checked(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
        *("-subj", "/CN=knify.example.com", "-keyout", tmp_path / "privkey.pem"),
        *("-out", tmp_path / "fullchain.pem"),
    )
    return tmp_path


def test_nginx_takes_the_file_with_tls(certificate: Path) -> None:
    text = (DEPLOY / "nginx" / "knify.conf").read_text()
    text = text.replace("/etc/ssl/knify", str(certificate))
    text = text.replace("/etc/nginx/knify-passing.conf", str(DEPLOY / "nginx" / "passing.conf"))
    file = certificate / "nginx.conf"
    file.write_text(f"pid {certificate}/pid;\nevents {{}}\nhttp {{\n{text}\n}}\n")

    said = checked(tool("nginx"), "-t", "-c", file)

    assert "test is successful" in said
    assert "[warn]" not in said


def test_nginx_takes_the_file_of_compose(tmp_path: Path) -> None:
    text = (DEPLOY / "nginx" / "compose.conf").read_text()
    text = text.replace("RESOLVER", "127.0.0.53").replace("/tmp/", f"{tmp_path}/")
    text = text.replace("/etc/knify/passing.conf", str(DEPLOY / "nginx" / "passing.conf"))
    file = tmp_path / "nginx.conf"
    file.write_text(text)

    assert "test is successful" in checked(tool("nginx"), "-t", "-c", file)


class Told(BaseHTTPRequestHandler):
    """Answers with the scheme that it was told."""

    def do_GET(self) -> None:
        """See http.server."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(", ".join(self.headers.get_all("X-Forwarded-Proto", [])).encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[str]:
    """compose's nginx before such a server; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Told)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        ports = one.getsockname()[1], two.getsockname()[1]
    text = (DEPLOY / "nginx" / "compose.conf").read_text()
    text = text.replace("RESOLVER", "127.0.0.53").replace("/tmp/", f"{tmp_path}/")
    text = text.replace("/etc/knify/passing.conf", str(DEPLOY / "nginx" / "passing.conf"))
    for port, own in zip((8122, 8121), ports, strict=True):
        text = text.replace(f"listen {port}", f"listen 127.0.0.1:{own}")
        text = text.replace(f"http://api:{port}", f"http://127.0.0.1:{server.server_port}")
    file = tmp_path / "nginx.conf"
    file.write_text(text)
    words = [tool("nginx"), "-c", str(file), "-g", "daemon off;"]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    yield f"http://127.0.0.1:{ports[0]}/"
    process.terminate()
    process.wait(timeout=10)
    server.shutdown()


def test_composes_proxy_passes_on_that_tls_ended_in_front_of_it(proxy: str) -> None:
    def told(*said: str) -> str:
        headers = {"X-Forwarded-Proto": said[0]} if said else {}
        with urllib.request.urlopen(urllib.request.Request(proxy, headers=headers)) as answer:
            return str(answer.read().decode())

    def first() -> str | None:
        try:
            return told()
        except OSError:
            return None

    assert eventually(first) == "http"
    assert [told(said) for said in ("https", "HTTPS", "http, https")] == ["https"] * 3
    for said in ("http", "https, http", "httpsx", "javascript", "https; x"):
        assert told(said) == "http"


def test_caddy_takes_its_file() -> None:
    words = ("validate", "--adapter", "caddyfile", "--config", DEPLOY / "caddy" / "Caddyfile")

    assert "Valid configuration" in checked(tool("caddy"), *words)


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """With a program that exists in the place of Knify's."""
    for file in (DEPLOY / "systemd").glob("knify*"):
        text = file.read_text().replace("/opt/knify/.venv/bin/knify", "/bin/true")
        (tmp_path / file.name).write_text(text)
    units = sorted((*tmp_path.glob("*.service"), *tmp_path.glob("*.target")))

    said = checked(tool("systemd-analyze"), "verify", "--man=no", *units)

    assert [line for line in said.splitlines() if str(tmp_path) in line or "knify" in line] == []
    assert len(units) > 5


@pytest.mark.parametrize("name", ["knify.yaml", "workers.yaml"])
def test_kubernetes_takes_the_objects(name: str) -> None:
    """By its own schemas, without a field that they do not know."""
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    yaml = pytest.importorskip("yaml")
    objects = list(yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text()))

    for one in objects:
        kubernetes_validate.validate(one, "1.33", strict=True)

    assert objects

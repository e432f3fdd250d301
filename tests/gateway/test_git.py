"""Git through the gateway: the operator's login is put in, for git's own requests alone."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from knify import errors, exits
from knify.gateway import git
from knify.gateway.policy import Policy
from tests.gateway import gitserver, web
from tests.gateway import rig as rigs

ALLOWED = {"network_mode": "outbound", "allowed_hosts": ("git.test",)}


def run(folder: Path, *words: str, url: str = "") -> subprocess.CompletedProcess[str]:
    """A git command as in a sandbox whose gateway is at `url`."""
    rewrites = {
        name: value.replace("http://127.0.0.1:8119", url)
        for name, value in exits.git_rewrites(["git.test"]).items()
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    alone = {"HOME": str(folder), "GIT_TERMINAL_PROMPT": "0", "no_proxy": "127.0.0.1"}
    options = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")
    return subprocess.run(
        ["git", *options, *words],
        cwd=folder,
        env=clean | alone | (rewrites if url else {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def push() -> str:
    return "0"


@pytest.fixture
def rig(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, push: str
) -> Iterator[rigs.Rig]:
    files = {"hello.txt": "hello\n" * 50_000}
    gitserver.repository(tmp_path / "served", "team/app.git", files)
    secret, certificate = web.certified(tmp_path, "git.test")
    logins = tmp_path / "logins"
    logins.write_text(f"# ours\nhttps://{gitserver.LOGIN}@git.test/team\n")
    with gitserver.running(tmp_path / "served", secret) as port:
        environ = {
            "KNIFY_EGRESS_HOSTS": f"git.test=127.0.0.1:{port}",
            "KNIFY_EGRESS_CA": str(certificate),
            "KNIFY_GIT_CREDENTIALS_FILE": str(logins),
            "KNIFY_GIT_PUSH": push,
        }
        with rigs.running(redis_url, tmp_path / "home", monkeypatch, **environ) as running:
            yield running


def test_a_private_repository_is_cloned_without_a_login_in_sight(
    rig: rigs.Rig, tmp_path: Path
) -> None:
    _, url = rig.open(**ALLOWED)

    done = run(tmp_path, "clone", "https://git.test/team/app.git", "cloned", url=url)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cloned" / "hello.txt").read_text() == "hello\n" * 50_000
    kept = (tmp_path / "cloned" / ".git" / "config").read_text()
    assert "https://git.test/team/app.git" in kept and "s3cret" not in kept


def commit_and_push(tmp_path: Path, url: str) -> subprocess.CompletedProcess[str]:
    run(tmp_path, "clone", "https://git.test/team/app.git", "cloned", url=url)
    (tmp_path / "cloned" / "more.bin").write_bytes(os.urandom(2_000_000))
    run(tmp_path / "cloned", "add", ".")
    run(tmp_path / "cloned", "commit", "--quiet", "-m", "more")
    return run(tmp_path / "cloned", "push", "origin", "main", url=url)


def test_nothing_is_pushed_unless_the_operator_lets_jobs_do_that(
    rig: rigs.Rig, tmp_path: Path
) -> None:
    name, url = rig.open(**ALLOWED)

    assert commit_and_push(tmp_path, url).returncode != 0

    (told,) = rig.told(name)
    assert told[0] == "egress_refused" and "KNIFY_GIT_PUSH" in told[1]


@pytest.mark.parametrize("push", ["1"])
def test_with_his_leave_it_is_pushed(rig: rigs.Rig, tmp_path: Path) -> None:
    _, url = rig.open(**ALLOWED)

    done = commit_and_push(tmp_path, url)

    assert done.returncode == 0, done.stderr
    log = run(tmp_path / "served/team/app.git", "log", "--format=%s", "main")
    assert log.stdout.split() == ["more", "first"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/git/git.test/team/app.git/info/refs?service=git-upload-pack", 200),
        ("/git/git.test/other/app.git/info/refs?service=git-upload-pack", 403),
        ("/git/elsewhere.test/team/app.git/info/refs?service=git-upload-pack", 403),
        ("/git/git.test/team/app.git/info/refs", 404),
        ("/git/git.test/team/../other/app.git/info/refs?service=git-upload-pack", 404),
        ("/git/git.test/team/app.git/config", 404),
        ("/git/git.test/api/v4/projects", 404),
    ],
)
def test_the_login_serves_what_it_is_for(rig: rigs.Rig, path: str, status: int) -> None:
    _, url = rig.open(**ALLOWED)

    with httpx.Client() as client:
        request = client.build_request("GET", url)
        request.extensions["target"] = path.encode()
        assert client.send(request).status_code == status


def test_a_job_that_may_not_reach_the_host_has_no_use_of_its_login(rig: rigs.Rig) -> None:
    _, url = rig.open(network_mode="outbound", allowed_hosts=("a.com",))
    refs = "/git/git.test/team/app.git/info/refs?service=git-upload-pack"

    assert httpx.get(url + refs).status_code == 403
    assert rig.gateway._git_hosts(Policy("outbound", ("git.test",))) == ["git.test"]
    assert rig.gateway._git_hosts(Policy("outbound", ("a.com",))) == []
    assert rig.gateway._git_hosts(Policy("full")) == []  # a host of the operator's own network
    assert rig.gateway._git_hosts(Policy("full", ("git.test",))) == ["git.test"]


@contextlib.contextmanager
def odd(
    folder: Path, answer: bytes
) -> Iterator[tuple[int, str, tuple[threading.Event, threading.Event]]]:
    """A server that hears one request and gives this answer, or none.

    Its port, its certificate, and whether it was asked and who asked has gone.
    """
    secret, certificate = web.certified(folder, "git.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(secret)
    asked, left = threading.Event(), threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError):
            raw, _ = listener.accept()
            with context.wrap_socket(raw, server_side=True) as connection:
                connection.recv(65_536)
                asked.set()
                connection.sendall(answer)
                while connection.recv(65_536):
                    pass
            left.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1], str(certificate), (asked, left)


REFS = "/git/git.test/team/app.git/info/refs?service=git-upload-pack"


@contextlib.contextmanager
def before(
    answer: bytes, redis_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, tuple[threading.Event, threading.Event]]]:
    """A gateway whose git server is such a one: the URL of a door."""
    (folder / "logins").write_text(f"https://{gitserver.LOGIN}@git.test/team\n")
    with odd(folder, answer) as (port, certificate, events):
        environ = {
            "KNIFY_EGRESS_HOSTS": f"git.test=127.0.0.1:{port}",
            "KNIFY_EGRESS_CA": certificate,
            "KNIFY_GIT_CREDENTIALS_FILE": str(folder / "logins"),
        }
        with rigs.running(redis_url, folder / "home", monkeypatch, **environ) as running:
            yield running.open(**ALLOWED)[1], events


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_for_a_sandbox_that_has_left_nothing_is_asked_any_longer(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    with before(b"", redis_url, tmp_path, monkeypatch) as (url, (asked, left)):
        path = REFS if method == "GET" else "/git/git.test/team/app.git/git-upload-pack"
        host, port = url.removeprefix("http://").split(":")
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        with socket.create_connection((host, int(port))) as sandbox:
            sandbox.sendall(head.encode())
            assert asked.wait(30)

        assert left.wait(30)


def test_a_login_is_hidden_where_the_server_quotes_it(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = base64.b64encode(gitserver.LOGIN.encode()).decode()
    quoted = f"you are {gitserver.LOGIN}, as {whole} says"
    answer = f"HTTP/1.1 403 No\r\nx-who: Basic {whole}\r\ncontent-length: {len(quoted)}\r\n\r\n"
    with before((answer + quoted).encode(), redis_url, tmp_path, monkeypatch) as (url, _):
        refused = httpx.get(url + REFS, timeout=20)

    assert refused.status_code == 403
    assert refused.text == "you are bot:[hidden], as [hidden] says"
    assert refused.headers["x-who"] == "Basic [hidden]"


def test_nothing_is_sent_on_but_what_git_says() -> None:
    known = [(b"Git-Protocol", b"version=2"), (b"Content-Encoding", b"gzip"), (b"Accept", b"*/*")]
    others = [(b"X-Original-URL", b"/api"), (b"X-Forwarded-Host", b"a"), (b"PRIVATE-TOKEN", b"t"),
              (b"X-HTTP-Method-Override", b"DELETE"), (b"Authorization", b"b"),
              (b"Transfer-Encoding", b"chunked")]  # fmt: skip

    assert git.said([*known, *others]) == {
        "git-protocol": "version=2", "content-encoding": "gzip", "accept": "*/*",
    }  # fmt: skip


@pytest.mark.parametrize(
    "row", ["http://a:b@c.com", "https://c.com", "https://a@c.com", "https://a:b@10.0.0.1", "x"]
)
def test_a_wrong_line_is_named_and_not_shown(tmp_path: Path, row: str) -> None:
    file = tmp_path / "logins"
    file.write_text(f"https://u:p@ok.com\n{row}\n")

    with pytest.raises(errors.ConfigError, match="line 2") as wrong:
        git.load(file)

    assert row not in str(wrong.value) or row == "x"

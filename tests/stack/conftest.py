"""One installation for the suite; tests that kill it get one of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from knify.client import Client
from tests.gateway import gitserver, web
from tests.parts import stack as stack_part


@pytest.fixture(scope="session")
def outside() -> Iterator[web.Web]:
    """A server that jobs reach as web.test and other.test, if they may."""
    with web.running() as server:
        yield server


@pytest.fixture(scope="session")
def stack(outside: web.Web, tmp_path_factory: pytest.TempPathFactory) -> Iterator[stack_part.Stack]:
    """A running installation.

    https://secure.test has a certificate of the operator's own, and so has a git server, git.test.
    """
    folder = tmp_path_factory.mktemp("outside")
    secret, certificate = web.certified(folder, "secure.test", "git.test")
    gitserver.repository(folder / "git", "team/app.git", {"hello.txt": "hello from git"})
    (folder / "logins").write_text(f"https://{gitserver.LOGIN}@git.test\n")
    with (
        web.running("hello in private", secret=secret) as secure,
        gitserver.running(folder / "git", secret) as git,
    ):
        ports = {"web.test": outside.port, "other.test": outside.port}
        ports |= {"secure.test": secure.port, "git.test": git}
        settings = {
            "KNIFY_WEBHOOK_ALLOW_PRIVATE": "1",
            "KNIFY_EGRESS_HOSTS": ",".join(f"{n}=127.0.0.1:{p}" for n, p in ports.items()),
            "KNIFY_EGRESS_CA": str(certificate),
            "KNIFY_GIT_CREDENTIALS_FILE": str(folder / "logins"),
        }
        with stack_part.running(**settings) as running:
            yield running


@pytest.fixture(scope="module")
def own_stack() -> Iterator[stack_part.Stack]:
    """An installation that one file's tests may hurt; quick to notice it."""
    settings = {"KNIFY_LEASE_SECONDS": "3", "KNIFY_SWEEP_SECONDS": "1", "KNIFY_NODE": "first"}
    with stack_part.running(**settings) as running:
        yield running


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """The SDK on the test's installation."""
    own = "own_stack" in request.fixturenames
    running: stack_part.Stack = request.getfixturevalue("own_stack" if own else "stack")
    with running.client() as client:
        yield client

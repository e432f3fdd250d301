"""Settings of a throw-away installation, and the guard of tests that need a real Podman."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from knify import settings
from knify.host import facts, podman, probe


@pytest.fixture
def host_settings(tmp_path: Path) -> settings.Settings:
    """The defaults with a home of their own."""
    return settings.load({"HOME": str(tmp_path), "KNIFY_HOME": str(tmp_path / "home")})


@pytest.fixture
def real_podman() -> None:
    """Skips where there is no usable Podman; in CI that is a failure."""
    if os.geteuid() == 0 and podman.version():
        return
    if os.environ.get("KNIFY_CI"):
        pytest.fail("CI needs root and Podman")
    pytest.skip("needs root and Podman")


@pytest.fixture(scope="session")
def measured() -> facts.HostFacts:
    """This host's facts, measured once for all tests."""
    return probe.measure(settings.load({"HOME": str(Path.home())}))


@pytest.fixture
def own_facts(
    real_podman: None,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The measured facts, kept in the test's folder instead of this host's."""
    path = tmp_path / "host.json"
    monkeypatch.setenv("KNIFY_HOST_FACTS", str(path))
    # Asked for only here: where Podman is missing, `real_podman` has skipped the test by now.
    found: facts.HostFacts = request.getfixturevalue("measured")
    found.save(path)
    return path

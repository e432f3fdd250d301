from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from knify.objects import base, folder, s3
from tests.parts import s3 as s3_server


@pytest.fixture(scope="session")
def s3_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_server.Server]:
    with s3_server.running(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(params=["folder", "s3"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> base.ObjectStore:
    """Each back end, empty."""
    if request.param == "folder":
        return folder.Folder(tmp_path / "objects")
    server: s3_server.Server = request.getfixturevalue("s3_service")
    for name, value in server.environ().items():
        monkeypatch.setenv(name, value)
    return s3.S3(server.bucket, f"here/{tmp_path.name}", tmp_path, endpoint_url=server.endpoint_url)

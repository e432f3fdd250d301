from __future__ import annotations

from pathlib import Path

import pytest

from knify import errors, settings
from knify.objects import folder, locate, s3


def _settings(home: Path, url: str) -> settings.Settings:
    return settings.load({"KNIFY_HOME": str(home), "KNIFY_OBJECT_STORE": url})


def test_without_a_setting_objects_live_below_home(tmp_path: Path) -> None:
    store = locate.connect(_settings(tmp_path, ""))

    assert isinstance(store, folder.Folder)
    assert store.root == tmp_path / "objects"


def test_a_file_url_is_decoded(tmp_path: Path) -> None:
    store = locate.connect(_settings(tmp_path, f"file://{tmp_path}/with%20space"))

    assert isinstance(store, folder.Folder)
    assert store.root == tmp_path / "with space"


def test_an_s3_url_names_bucket_and_prefix(tmp_path: Path) -> None:
    store = locate.connect(_settings(tmp_path, "s3://bucket/some/prefix/"))

    assert isinstance(store, s3.S3)
    assert (store._bucket, store._prefix) == ("bucket", "some/prefix/")


@pytest.mark.parametrize(
    "url",
    ["/plain/path", "file://relative/path", "file:relative", "s3:///prefix", "s3://b/../x",
     "s3://b/x?y=z", "gs://bucket", "http://bucket"],
)  # fmt: skip
def test_a_url_that_names_no_store_stops_the_start(tmp_path: Path, url: str) -> None:
    with pytest.raises(errors.ConfigError, match="KNIFY_OBJECT_STORE"):
        locate.connect(_settings(tmp_path, url))

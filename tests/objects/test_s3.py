from __future__ import annotations

import time
from pathlib import Path

import boto3
import pytest

from knify import errors
from knify.objects import s3
from tests.parts import s3 as s3_server


@pytest.fixture(autouse=True)
def credentials(s3_service: s3_server.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_service.environ().items():
        monkeypatch.setenv(name, value)


def test_wrong_credentials_are_refused(
    s3_service: s3_server.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "guessed")
    store = s3.S3(s3_service.bucket, "", tmp_path, endpoint_url=s3_service.endpoint_url)

    with pytest.raises(errors.ObjectStoreError):
        store.check()
    with pytest.raises(errors.ObjectStoreError):
        store.put("x", [b"x"])


def test_a_missing_bucket_fails_the_check(s3_service: s3_server.Server, tmp_path: Path) -> None:
    store = s3.S3("no-such-bucket", "", tmp_path, endpoint_url=s3_service.endpoint_url)

    with pytest.raises(errors.ObjectStoreError):
        store.check()


def test_a_server_that_is_away_is_noticed_quickly(tmp_path: Path) -> None:
    store = s3.S3("bucket", "", tmp_path, endpoint_url="http://127.0.0.1:1")
    began = time.monotonic()

    with pytest.raises(errors.ObjectStoreError):
        store.check()

    assert time.monotonic() - began < 15  # far less, where nothing else runs


def test_two_prefixes_of_one_bucket_do_not_see_each_other(
    s3_service: s3_server.Server, tmp_path: Path
) -> None:
    one = s3.S3(s3_service.bucket, "one", tmp_path, endpoint_url=s3_service.endpoint_url)
    other = s3.S3(s3_service.bucket, "/other/", tmp_path, endpoint_url=s3_service.endpoint_url)
    one.put("x", [b"1"])
    other.put("x", [b"2"])

    assert other.delete_prefix("x") == 0
    other.delete("x")

    assert [row.key for row in one.list()] == ["x"]
    assert list(other.list()) == []


def test_a_failed_upload_leaves_no_parts_behind(
    s3_service: s3_server.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = s3.S3(s3_service.bucket, "parts", tmp_path, endpoint_url=s3_service.endpoint_url)
    sent = []

    def fail_on_the_second(params: dict[str, object], **_: object) -> None:
        sent.append(params["PartNumber"])
        if len(sent) > 1:
            raise OSError("the line was cut")

    store._client.meta.events.register("before-parameter-build.s3.UploadPart", fail_on_the_second)
    with pytest.raises(errors.ObjectStoreError, match="cut"):
        store.put("x", [bytes(3 * s3.SPOOL)])

    client = boto3.client("s3", endpoint_url=s3_service.endpoint_url, region_name="us-east-1")
    assert not client.list_multipart_uploads(Bucket=s3_service.bucket).get("Uploads")
    assert list(store.list()) == []


def test_more_objects_than_one_batch_are_deleted(
    s3_service: s3_server.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_BATCH", 3)
    store = s3.S3(s3_service.bucket, "many", tmp_path, endpoint_url=s3_service.endpoint_url)
    for number in range(7):
        store.put(f"run/{number}", [b"x"])

    assert store.delete_prefix("run") == 7
    assert list(store.list()) == []

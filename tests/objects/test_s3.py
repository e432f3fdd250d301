from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import stub
from botocore.awsrequest import AWSResponse
from botocore.stub import ANY
from urllib3 import HTTPResponse

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


def test_keys_of_kms_are_asked_for_with_every_object(tmp_path: Path) -> None:
    options = s3.Options(region="eu-central-1", encryption="aws:kms", kms_key="alias/knify")
    store = s3.S3("bucket", "some/prefix", tmp_path, options=options)
    asked = {
        "Bucket": "bucket", "Key": "some/prefix/x", "Body": ANY, "Metadata": ANY,
        "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/knify",
    }  # fmt: skip
    with stub.Stubber(store._client) as stubbed:
        stubbed.add_response("put_object", {}, asked)
        store.put("x", [b"x"])

        large = {name: asked[name] for name in asked if name != "Body"}
        stubbed.add_response("create_multipart_upload", {"UploadId": "1"}, large)
        for part in (1, 2):
            stubbed.add_response("upload_part", {"ETag": f"e{part}"}, None)
        stubbed.add_response("complete_multipart_upload", {}, None)
        store.put("x", [bytes(s3.SPOOL), b"x"])

        stubbed.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("addressing", "url"),
    [
        ("path", "https://s3.eu-central-1.amazonaws.com/bucket"),
        ("virtual", "https://bucket.s3.eu-central-1.amazonaws.com/"),
    ],
)
def test_requests_go_to_the_region_and_name_the_bucket_as_wanted(
    tmp_path: Path, addressing: str, url: str
) -> None:
    options = s3.Options(region="eu-central-1", addressing=addressing)
    client = s3.S3("bucket", "", tmp_path, options=options)._client
    seen: list[str] = []

    def keep(request: Any, **_: Any) -> Any:
        seen.append(request.url)
        return AWSResponse(request.url, 200, {}, HTTPResponse(io.BytesIO(), preload_content=False))

    client.meta.events.register("before-send.s3.HeadBucket", keep)
    client.head_bucket(Bucket="bucket")

    assert seen == [url]


def test_a_real_store_takes_a_region_and_encryption(
    s3_service: s3_server.Server, tmp_path: Path
) -> None:
    options = s3.Options(s3_service.endpoint_url, region="eu-north-1", encryption="AES256")
    store = s3.S3(s3_service.bucket, "deep/er", tmp_path, options=options)

    store.put("a/b", [b"hello"])

    with store.open("a/b") as reader:
        assert reader.read() == b"hello"
    assert [row.key for row in store.list()] == ["a/b"]

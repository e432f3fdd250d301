from __future__ import annotations

import gzip
import io
import json
import tarfile
from urllib.parse import unquote

import pytest

from api.artifacts import view
from knify import model
from knify.core import Core
from knify.services import artifacts
from tests.api.parts import Api, Worker

FILES = {
    "result.json": b'{"status": "success", "n": [1, 2]}',
    "broken.json": b'{"x": NaN}',
    "report.md": "# Größe\n".encode(),
    "dir/a b;\".txt": b"0123456789",
    "picture.bin": b"\x89\xff\x00",
    "big.txt": b"x" * (view.MAX_SHOWN + 1),
    "empty": b"",
}  # fmt: skip


@pytest.fixture
def job_id(api: Api, worker: Worker) -> str:
    made = api.submit()
    worker.keep(made, FILES)
    worker.finish(worker.run(made))
    return made


def test_a_map_shows_json_parsed_text_as_text_and_the_rest_as_links(api: Api, job_id: str) -> None:
    shown = api.get(f"/jobs/{job_id}/artifacts").get_json()

    assert set(shown) == set(FILES)
    assert shown["result.json"] == {"status": "success", "n": [1, 2]}
    assert shown["broken.json"] == '{"x": NaN}'
    assert shown["report.md"] == "# Größe\n"
    assert shown["empty"] == ""
    assert set(shown["big.txt"]) == {"url", "size_bytes", "content_type", "sha256"}
    assert shown["big.txt"]["size_bytes"] == view.MAX_SHOWN + 1
    for path in ("picture.bin", "big.txt"):
        assert api.get(shown[path]["url"]).data == FILES[path]


def test_a_map_shows_eight_mebibytes_at_most(api: Api, worker: Worker) -> None:
    made = api.submit()
    worker.keep(made, {f"{i:02}.txt": b"y" * 1024**2 for i in range(10)})
    worker.finish(worker.run(made))

    shown = api.get(f"/jobs/{made}/artifacts").get_json()

    assert sum(isinstance(content, str) for content in shown.values()) == 8
    assert isinstance(shown["09.txt"], dict)


def test_a_map_has_the_own_text_of_json_that_every_reader_takes(api: Api, worker: Worker) -> None:
    made = api.submit()
    files = {
        "exact.json": b'[1.10, 9e22, 12345678901234567890123, "\\u00e9[,{"]',
        "huge.json": b"[1e999]",
        "odd.json": b"[NaN]",
        "deep.json": b"[" * 10_000,
        "bom.json": b"\xef\xbb\xbf[]",
        "two.json": b'{},"x":{}',
    }
    worker.keep(made, files)
    worker.finish(worker.run(made))

    answer = api.get(f"/jobs/{made}/artifacts")

    assert files["exact.json"] in answer.data
    shown = json.loads(answer.data, parse_constant=pytest.fail)
    assert shown.pop("exact.json")[1] == 9e22
    assert shown == {path: files[path].decode() for path in shown} and len(shown) == 5


def test_json_of_very_many_lists_is_a_link_and_never_parsed(
    api: Api, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = api.submit()
    half = b"[" + b"[]," * (view.MAX_NODES // 2) + b"1]"
    texts = json.dumps(["[{" * 100_000]).encode()
    worker.keep(made, {"1.json": half, "2.json": half, "3.json": b"[1]", "4.json": texts})
    worker.finish(worker.run(made))
    parsed: list[int] = []
    is_json = view._is_json

    def counting(text: str) -> bool:
        parsed.append(len(text))
        return is_json(text)

    monkeypatch.setattr(view, "_is_json", counting)

    shown = api.get(f"/jobs/{made}/artifacts").get_json()

    assert parsed == [len(half), 3, len(texts)]
    assert len(shown["1.json"]) == view.MAX_NODES // 2 + 1
    assert set(shown["2.json"]) == {"url", "size_bytes", "content_type", "sha256"}
    assert (shown["3.json"], shown["4.json"]) == ([1], ["[{" * 100_000])


def test_a_download_is_an_attachment_that_no_browser_interprets(api: Api, job_id: str) -> None:
    path = 'dir/a b;".txt'

    answer = api.get(f"/jobs/{job_id}/artifacts/dir/a%20b%3B%22.txt")

    assert answer.data == FILES[path]
    disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith("attachment; filename=\"a b__.txt\"; filename*=UTF-8''")
    assert unquote(disposition.rpartition("''")[2]) == 'a b;".txt'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "sandbox"
    assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("asked", "status", "content", "shown"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=5-500", 206, b"56789", "bytes 5-9/10"),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        ("bytes=50-60", 416, None, "bytes */10"),
    ],
)
def test_a_range_of_a_file_can_be_fetched(
    api: Api, job_id: str, asked: str, status: int, content: bytes | None, shown: str | None
) -> None:
    url = f"/jobs/{job_id}/artifacts/dir/a%20b%3B%22.txt"

    answer = api.get(url, headers={"Range": asked})

    assert answer.status_code == status
    assert answer.headers.get("Content-Range") == shown
    if content is not None:
        assert answer.data == content
        assert answer.content_length == len(content)
    else:
        assert answer.get_json()["code"] == "RANGE_NOT_SATISFIABLE"


def test_an_etag_saves_the_second_download_and_guards_ranges(api: Api, job_id: str) -> None:
    url = f"/jobs/{job_id}/artifacts/report.md"
    etag = api.get(url).headers["ETag"]

    again = api.get(url, headers={"If-None-Match": etag})
    same = api.get(url, headers={"Range": "bytes=0-0", "If-Range": etag})
    stale = api.get(url, headers={"Range": "bytes=0-0", "If-Range": '"old"'})

    assert (again.status_code, again.data) == (304, b"")
    assert (same.status_code, same.data) == (206, b"#")
    assert (stale.status_code, stale.data) == (200, FILES["report.md"])


def test_an_unknown_file_is_not_found(api: Api, job_id: str) -> None:
    for path in ("nothing", "../artifacts.json", "%2e%2e/artifacts.json"):
        assert api.get(f"/jobs/{job_id}/artifacts/{path}").status_code == 404


def test_all_files_come_as_one_archive(api: Api, job_id: str) -> None:
    answer = api.get(f"/jobs/{job_id}/artifacts.tar.gz")

    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(answer.data))) as tar:
        found = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    assert found == FILES
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_a_job_without_files_has_an_empty_map_and_archive(api: Api) -> None:
    made = api.submit()

    assert json.loads(api.get(f"/jobs/{made}/artifacts").text) == {}
    archive = gzip.decompress(api.get(f"/jobs/{made}/artifacts.tar.gz").data)
    assert archive == b"\0" * 1024


def test_a_withheld_file_is_listed_and_cannot_be_had(
    api: Api, worker: Worker, core: Core, job_id: str
) -> None:
    secret = model.Artifact("key.txt", 20, "", "text/plain", 1, "executions/x", withheld=True)
    artifacts.save_manifest(core.objects, job_id, [*artifacts.listing(core, job_id), secret])

    shown = api.get(f"/jobs/{job_id}/artifacts").get_json()
    facts = api.get(f"/jobs/{job_id}/artifacts?content=0").get_json()
    refused = api.get(f"/jobs/{job_id}/artifacts/key.txt")
    packed = api.get(f"/jobs/{job_id}/artifacts.tar.gz").data

    withheld = {"withheld": True, "size_bytes": 20, "content_type": "text/plain"}
    assert shown["key.txt"] == facts["key.txt"] == withheld
    assert (refused.status_code, refused.get_json()["code"]) == (409, "ARTIFACT_WITHHELD")
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        assert "key.txt" not in tar.getnames()
    assert "key.txt" not in api.get(f"/jobs/{job_id}").get_json()["artifacts"]["files"]

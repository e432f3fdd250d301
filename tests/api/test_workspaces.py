from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import redis
from werkzeug.test import TestResponse

from knify import sweep
from knify.core import Core
from knify.objects import locate
from knify.services import workspaces
from tests.api.parts import COMMAND, Api, Worker, archive


def left(core: Core) -> list[Any]:
    """What an upload may leave: objects, spool files, records."""
    folder: Path = locate.spool(core.settings)
    objects = [listed.key for listed in core.objects.list("workspaces")]
    return [*objects, *folder.iterdir(), *core.store.client.keys("knify:w:*")]


def special(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    return info


def test_an_upload_becomes_a_workspace_that_jobs_can_name(api: Api, core: Core) -> None:
    answer = api.upload(archive({"proj/a.txt": b"hello", "proj/d/b": b"b"}), "my-proj.tar.gz")

    made = answer.get_json()
    assert answer.status_code == 200
    assert set(made) == {
        "workspace_id", "name", "path", "created_at", "size_bytes", "sha256", "version", "files",
        "upload_sha256", "unchanged",
    }  # fmt: skip
    assert (made["name"], made["path"], made["version"]) == ("my-proj", "/workspaces/my-proj", 1)
    assert (made["size_bytes"], made["files"]) == (6, 2)
    job_id = api.submit(workspace_path=made["path"])
    x = core.store.executions.find(job_id)
    assert x is not None
    assert x.spec.workspace_id == made["workspace_id"]
    assert len(left(core)) == 4  # the object, who has it, the record, and who is to be made from it


def test_the_same_name_is_a_new_version_and_old_ones_can_be_named(api: Api, core: Core) -> None:
    first = api.upload(archive({"a": b"1"}), name="x").get_json()
    second = api.upload(archive({"a": b"2"}), name="x").get_json()

    assert (first["version"], second["version"]) == (1, 2)
    assert [w["version"] for w in api.get("/workspaces").get_json()] == [2, 1]
    x = core.store.executions.find(api.submit(workspace_path="/workspaces/x@1"))
    assert x is not None
    assert x.spec.workspace_id == first["workspace_id"]


def test_a_download_gives_the_files_back_and_the_store_holds_none_in_the_clear(
    api: Api, core: Core
) -> None:
    made = api.upload(archive({"a.txt": b"canary-canary"}), "w.tgz").get_json()

    answer = api.get(f"/workspaces/{made['workspace_id']}/download")

    with tarfile.open(fileobj=io.BytesIO(answer.data)) as tar:
        assert tar.extractfile("a.txt").read() == b"canary-canary"  # type: ignore[union-attr]
    assert 'filename="w-v1.tar"' in answer.headers["Content-Disposition"]
    (stored,) = (core.objects.open(row.key).read() for row in core.objects.list("workspaces"))
    assert b"canary" not in stored


def test_the_newest_versions_files_uploaded_again_make_no_version(api: Api, core: Core) -> None:
    first = api.upload(archive({"a": b"1"}), name="x").get_json()
    before = left(core)

    same = api.upload(archive({"a": b"1"}), name="x").get_json()
    repacked = api.upload(gzip.compress(gzip.decompress(archive({"a": b"1"})), 1), name="x")

    assert (first["unchanged"], same["unchanged"]) == (False, True)
    assert same == first | {"unchanged": True} == repacked.get_json()
    sweep.sweep(core)
    assert left(core) == before


def test_equal_files_are_kept_once_until_the_last_version_with_them_goes(
    api: Api, stranger: Api, core: Core
) -> None:
    one, two = archive({"a": b"1"}), archive({"a": b"2"})
    made = [api.upload(content, name="x").get_json() for content in (one, two, one)]
    made.append(api.upload(one, name="other").get_json())
    stranger.upload(one, name="x")  # another tenant never learns who has what

    assert [w["version"] for w in made] == [1, 2, 3, 1]
    assert not any(w["unchanged"] for w in made)
    assert len(list(core.objects.list("workspaces"))) == 3

    for n, w in enumerate((made[0], made[2], made[3])):
        assert len(list(core.objects.list("workspaces"))) == 3, n
        assert api.request("DELETE", f"/workspaces/{w['workspace_id']}").status_code == 200

    assert len(list(core.objects.list("workspaces"))) == 2
    assert api.get(f"/workspaces/{made[1]['workspace_id']}/download").status_code == 200


def test_files_that_are_gone_from_the_store_are_stored_anew(api: Api, core: Core) -> None:
    content = archive({"a": b"1"})
    api.upload(content, name="x")
    for row in core.objects.list("workspaces"):  # as when Redis was put back to an older state
        core.objects.delete(row.key)

    again = api.upload(content, name="x").get_json()

    assert (again["version"], again["unchanged"]) == (2, False)
    assert api.get(f"/workspaces/{again['workspace_id']}/download").status_code == 200
    assert api.upload(content, name="y").get_json()["unchanged"] is False
    assert len(list(core.objects.list("workspaces"))) == 1


def test_versions_are_listed_in_pages_and_by_name(api: Api) -> None:
    for n in range(3):
        api.upload(archive({"a": b"%d" % n}), name="x")
        api.upload(archive({"a": b"%d" % n}), name="y")

    page = api.get("/workspaces?page=1&limit=2&name=x")

    assert [w["version"] for w in page.get_json()["data"]] == [3, 2]
    assert page.get_json()["pagination"] == {"page": 1, "limit": 2, "total": 3, "pages": 2}
    assert "page=2" in page.headers["Link"]
    assert api.get("/workspaces").headers["X-Total-Count"] == "6"
    assert api.get("/workspaces?name=none").get_json() == []
    for wrong in ("page=0", "limit=101", "name=", "nam=x"):
        assert api.get(f"/workspaces?{wrong}").status_code == 400, wrong


def test_a_workspace_that_jobs_still_begin_with_stays(api: Api, worker: Worker, core: Core) -> None:
    made = api.upload(archive({"a": b"1"}), name="x").get_json()
    jobs = [api.submit(workspace_path="/workspaces/x@1") for _ in range(2)]

    answer = api.request("DELETE", f"/workspaces/{made['workspace_id']}")

    assert (answer.status_code, answer.get_json()["code"]) == (409, "WORKSPACE_BUSY")
    assert sorted(answer.get_json()["detail"]["jobs"]) == sorted(jobs)
    api.post(f"/jobs/{jobs[0]}/cancel")
    worker.run(jobs[1])  # it has its files now
    assert api.request("DELETE", f"/workspaces/{made['workspace_id']}").status_code == 200
    answer = api.post("/jobs", {"spec": COMMAND | {"workspace_path": "/workspaces/x@1"}})
    assert answer.status_code == 400


def test_a_download_can_go_on_where_it_broke_off(api: Api) -> None:
    made = api.upload(archive({"a.txt": b"x" * 100_000}), name="x").get_json()
    path = f"/workspaces/{made['workspace_id']}/download"
    whole = api.get(path)

    part = api.get(path, headers={"Range": "bytes=70000-"})

    assert hashlib.sha256(whole.data).hexdigest() == made["sha256"]
    assert whole.headers["ETag"] == f'"{made["sha256"]}"'
    assert (part.status_code, part.data) == (206, whole.data[70_000:])
    size = len(whole.data)
    assert part.headers["Content-Range"] == f"bytes 70000-{size - 1}/{size}"
    assert api.get(path, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    assert api.get(path, headers={"Range": f"bytes={size}-"}).status_code == 416
    head = api.request("HEAD", path)
    assert (head.status_code, head.content_length, head.data) == (200, size, b"")


def test_an_upload_with_an_idempotency_key_happens_once(api: Api, core: Core) -> None:
    def upload(content: bytes, name: str, key: str = "k") -> TestResponse:
        form = {"workspace": (io.BytesIO(content), "x.tar.gz"), "name": name}
        headers = {"Idempotency-Key": key}
        kind = "multipart/form-data"
        return api.post("/workspaces", data=form, content_type=kind, headers=headers)

    one = archive({"a": b"1"})  # packed again, it might hold another time
    first = upload(one, "x")
    upload(archive({"a": b"2"}), "x", key="other")

    again = upload(one, "x")

    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.get_json() == first.get_json()
    assert upload(one, "y").status_code == 422
    assert upload(archive({"a": b"3"}), "x").status_code == 422


def test_the_fields_may_come_in_any_order_but_once(api: Api) -> None:
    def form(*parts: tuple[str, str, bytes]) -> TestResponse:
        body = b"".join(
            b'--B\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
            % (name.encode(), f'; filename="{file}"'.encode() if file else b"", content)
            for name, file, content in parts
        )
        kind = "multipart/form-data; boundary=B"
        return api.post("/workspaces", data=body + b"--B--\r\n", content_type=kind)

    file = ("workspace", "w.tar.gz", archive({"a": b"\r\n--B\r\n" * 3}))

    assert form(file, ("name", "", b"x")).get_json()["name"] == "x"
    assert form(("name", "", b"y"), file).get_json()["name"] == "y"
    assert form(file).get_json()["name"] == "w"
    for wrong in (
        [file, file],
        [file, ("name", "", b"x"), ("name", "", b"y")],
        [file, ("name", "n.txt", b"x")],
        [file, ("more", "", b"x")],
        [("name", "", b"x" * 70_000), file],
        [*(("name", "", b"x") for _ in range(20)), file],
        [],
    ):
        assert form(*wrong).status_code in (400, 413), wrong
    answer = api.post("/workspaces", data=b"--B\r\n" + b"x" * 100_000,
                      content_type="multipart/form-data; boundary=B")  # fmt: skip
    assert answer.status_code == 400


def test_a_zip_is_taken_too(api: Api) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr("a.txt", "hello")

    assert api.upload(out.getvalue(), "z.zip").get_json()["name"] == "z"


def test_a_deleted_workspace_is_gone_with_its_object(api: Api, core: Core) -> None:
    made = api.upload(archive({"a": b"1"}), name="x").get_json()

    assert api.request("DELETE", f"/workspaces/{made['workspace_id']}").status_code == 200

    assert left(core) == []
    assert api.get(f"/workspaces/{made['workspace_id']}").status_code == 404
    answer = api.post("/jobs", {"spec": COMMAND | {"workspace_path": "/workspaces/x"}})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("content", "more", "status"),
    [
        (archive({"../evil": b"x"}), {}, 400),
        (archive({"/etc/passwd": b"x"}), {}, 400),
        (archive({"a": b"x"}, extra=[special("dev", tarfile.CHRTYPE)]), {}, 400),
        (archive({"a": b"x"}, extra=[special("fifo", tarfile.FIFOTYPE)]), {}, 400),
        (archive({"a": b"x"})[:-20], {}, 400),
        (b"this is no archive", {}, 400),
        (b"", {}, 400),
        (archive({}), {}, 400),
        (archive({"a": b"x"}), {"name": "../up"}, 400),
        (archive({"a": b"x"}), {"name": ""}, 400),
        (archive({"a": b"x"}), {"filename": "schön.tar.gz"}, 400),
        (archive({"a": b"\0" * 5 * 1024**2}), {}, 413),
    ],
    ids=[
        "up", "absolute", "device", "fifo", "cut", "none", "nothing", "empty", "name-up",
        "no-name", "file-name", "large",
    ],
)  # fmt: skip
def test_a_wrong_upload_is_refused_and_leaves_nothing(
    api: Api, core: Core, content: bytes, more: dict[str, str], status: int
) -> None:
    answer = api.upload(content, **more)

    assert answer.status_code == status, answer.text
    assert set(answer.get_json()) == {"error", "detail", "code"}
    assert left(core) == []


def test_an_upload_beyond_the_limit_is_cut_off_and_leaves_nothing(api: Api, core: Core) -> None:
    answer = api.upload(b"x" * (4 * 1024**2 + 100_000))

    assert (answer.status_code, answer.get_json()["code"]) == (413, "TOO_LARGE")
    assert left(core) == []


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        ({"name": "x"}, "multipart/form-data", 400),
        ({"workspace": "text"}, "multipart/form-data", 400),
        (
            {"workspace": (io.BytesIO(b"x"), "x.tar"), "nmae": "y"},
            "multipart/form-data",
            400,
        ),
        (b"x", "application/gzip", 415),
        (b"x", "multipart/form-data", 400),
    ],
    ids=["no-file", "text", "unknown-field", "no-form", "no-boundary"],
)
def test_a_form_without_its_file_is_refused(
    api: Api, core: Core, data: Any, kind: str, status: int
) -> None:
    answer = api.post("/workspaces", data=data, content_type=kind)

    assert answer.status_code == status, answer.text
    assert left(core) == []


def test_when_the_record_cannot_be_written_the_object_goes_too(
    api: Api, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise redis.ResponseError("OOM")

    monkeypatch.setattr(type(core.store.workspaces), "add", full)

    assert api.upload(archive({"a": b"x"})).status_code == 503

    assert left(core) == []


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("a.tar.gz", "a"),
        ("a.b.tgz", "a.b"),
        ("a.TAR.ZST", "a"),
        ("C:\\up\\a.zip", "a"),
        ("d/a.tar", "a"),
        ("plain", "plain"),
    ],
)
def test_the_default_name_is_the_files_stem(filename: str, name: str) -> None:
    assert workspaces.stem(filename) == name

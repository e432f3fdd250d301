from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import redis

from knify.core import Core
from knify.objects import locate
from knify.services import workspaces
from tests.api.parts import COMMAND, Api, archive


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
    }  # fmt: skip
    assert (made["name"], made["path"], made["version"]) == ("my-proj", "/workspaces/my-proj", 1)
    assert (made["size_bytes"], made["files"]) == (6, 2)
    job_id = api.submit(workspace_path=made["path"])
    x = core.store.executions.find(job_id)
    assert x is not None
    assert x.spec.workspace_id == made["workspace_id"]
    assert len(left(core)) == 3  # the object, its record, and that a sandbox is to be made from it


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
    stored = core.objects.open(f"workspaces/{made['workspace_id']}").read()
    assert b"canary" not in stored


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
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise redis.ResponseError("OOM")

    monkeypatch.setattr(type(core.store.registry), "add_workspace", full)
    record = workspaces.store(core, "t", io.BytesIO(archive({"a": b"x"})), "x")

    with pytest.raises(redis.ResponseError):
        workspaces.add(core, record)

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

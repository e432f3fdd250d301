"""Artifacts down and workspaces up."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import httpx
import pytest

from knify.client import Client, errors, files, pack
from tests.client import scripted

REPORT = b"# Report\n" * 100_000
SHA = hashlib.sha256(REPORT).hexdigest()


def entries(packed: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        return {info.name: info for info in tar}


def test_a_file_is_saved_under_its_path_and_checked(
    server: scripted.Server, client: Client, tmp_path: Path
) -> None:
    server.on("GET", "/jobs/job_1/artifacts/out%20put/report.md", REPORT, ETag=f'"{SHA}"')
    server.on_job("job_1", files=["out put/report.md"])

    [got] = client.download_all("job_1", tmp_path / "new")

    assert (got.size, got.sha256, got.verified) == (len(REPORT), SHA, True)
    assert (tmp_path / "new/out put/report.md").read_bytes() == REPORT


def test_a_damaged_file_is_not_kept(
    server: scripted.Server, client: Client, tmp_path: Path
) -> None:
    server.on("GET", "/jobs/job_1/artifacts/a", b"other", X_Checksum_SHA256=f"sha256:{SHA}")

    with pytest.raises(errors.ArtifactDamaged):
        client.download("job_1", "a", tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_broken_download_begins_again(
    server: scripted.Server, client: Client, tmp_path: Path
) -> None:
    path = "/jobs/job_1/artifacts/a"
    cut = scripted.Answer(REPORT, headers={"ETag": f'"{SHA}"'}, cut=500_000)
    server.on_call("GET", path, lambda _: cut)
    server.on("GET", path, {}, 503, Retry_After="0")
    server.on("GET", path, REPORT, ETag=f'"{SHA}"')

    assert client.download("job_1", "a", tmp_path).verified
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_the_listing_has_sizes_and_checksums(server: scripted.Server, client: Client) -> None:
    facts = {"url": "u", "size_bytes": len(REPORT), "sha256": SHA, "content_type": "text/plain"}
    server.on("GET", "/jobs/job_1/artifacts", {"a": facts})

    [artifact] = client.artifacts("job_1")

    assert (artifact.path, artifact.size, artifact.sha256) == ("a", len(REPORT), SHA)


@pytest.mark.parametrize("path", ["", "/etc/x", "../x", "a/../../x", "a//b", "./a", "a/", "a\0b"])
def test_a_hostile_path_never_leaves_the_folder(path: str, tmp_path: Path) -> None:
    with pytest.raises(errors.UnsafePath):
        files.target(tmp_path / "out", path)


def test_a_link_in_the_folder_leads_nowhere(tmp_path: Path) -> None:
    out, secret = tmp_path / "out", tmp_path / "secret"
    out.mkdir()
    secret.write_text("mine")
    (out / "up").symlink_to(tmp_path)
    (out / "file").symlink_to(secret)

    with pytest.raises(errors.UnsafePath):
        files.target(out, "up/x")
    sink = files.Sink(httpx.Response(200), "file", files.target(out, "file"))
    sink.write(b"new")
    sink.finish()

    assert secret.read_text() == "mine"
    assert (out / "file").read_text() == "new"


def test_a_folder_is_packed_the_same_every_time(tmp_path: Path) -> None:
    for name, order in (("one", "ab"), ("two", "ba")):
        (tmp_path / name / "sub").mkdir(parents=True)
        for letter in order:
            (tmp_path / name / "sub" / letter).write_text(letter)
    os.utime(tmp_path / "two/sub/a", (1, 1))
    (tmp_path / "two/sub/b").chmod(0o600)

    one, two = (b"".join(pack.archive(tmp_path / name)) for name in ("one", "two"))

    assert one == two
    assert list(entries(one)) == [f"workspace{x}" for x in ("", "/sub", "/sub/a", "/sub/b")]


def test_only_git_and_strange_files_are_left_out(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").touch()
    (tmp_path / ".gitignore").write_text("*")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "run.sh").touch(0o755)
    (tmp_path / "link").symlink_to("run.sh")
    (tmp_path / ("long" * 50)).write_text("x")

    found = entries(b"".join(pack.archive(tmp_path)))

    assert set(found) == {
        "workspace",
        "workspace/.gitignore",
        "workspace/link",
        f"workspace/{'long' * 50}",
        "workspace/run.sh",
    }
    assert found["workspace/run.sh"].mode == 0o755
    assert found["workspace/link"].linkname == "run.sh"


def test_a_folder_says_itself_what_is_left_out(tmp_path: Path) -> None:
    rules = "*.log\n!keep.log\n/data/\n!knify-job_2/\n# a comment\n"
    (tmp_path / ".knifyignore").write_text(rules)
    names = ("a.log", "keep.log", "data/x", "sub/data/x", "knify-job_1/x", "knify-job_2/x")
    for name in (*names, ".venv/x", "node_modules/x", ".env", ".env.example"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    found = {name[10:] for name in entries(b"".join(pack.archive(tmp_path)))}
    survey = pack.survey(tmp_path)

    assert {name for name in found if name.endswith(("x", "log"))} == {
        "keep.log", "sub/data/x", "knify-job_2/x", "node_modules/x",
    }  # fmt: skip
    assert set(survey.left_out) == {".venv/", "a.log", "data/", "knify-job_1/"}
    assert survey.secret == (".env",)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "sub/../../../x"])
def test_a_link_out_of_the_folder_is_named(target: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "link").symlink_to(target)

    with pytest.raises(errors.WorkspaceInvalid, match="sub/link leads out"):
        b"".join(pack.archive(tmp_path))


def test_an_upload_is_repeated_byte_for_byte(
    server: scripted.Server, client: Client, tmp_path: Path
) -> None:
    folder = tmp_path / "my project!"
    folder.mkdir()
    (folder / "big").write_bytes(os.urandom(3_000_000))
    server.on("POST", "/workspaces", {}, 503, Retry_After="0")
    server.on("POST", "/workspaces", {"path": "/workspaces/my-project-", "version": 1})

    answer = client.upload_workspace(folder)

    assert answer.version == 1
    first, second = server.requests
    assert first.body == second.body
    assert first.headers["content-type"] == second.headers["content-type"]
    assert first.headers["transfer-encoding"] == "chunked"
    parts = scripted.multipart(second)
    assert parts["name"] == b"my-project-"
    assert "workspace/big" in entries(parts["workspace"])


def test_an_archive_is_sent_as_it_is_and_its_progress_told(
    server: scripted.Server, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "demo.tar.gz").write_bytes(b"packed")
    server.on("POST", "/workspaces", {"path": "/workspaces/demo"})
    heard: list[tuple[int, int | None]] = []

    client.upload_workspace(tmp_path / "demo.tar.gz", progress=lambda *said: heard.append(said))

    assert heard == [(6, 6)]
    assert scripted.multipart(server.requests[0]) == {"name": b"demo", "workspace": b"packed"}


@pytest.mark.parametrize("name", ["missing.zip", "notes.txt"])
def test_what_is_no_workspace_is_refused_here(name: str, client: Client, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()

    with pytest.raises(errors.WorkspaceInvalid):
        client.upload_workspace(tmp_path / name)


def test_the_progress_of_a_folder_counts_the_bytes_of_its_files(
    server: scripted.Server, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").write_bytes(bytes(1_000_000))
    (tmp_path / "in/b").write_bytes(b"x")
    server.on("POST", "/workspaces", {"path": "/workspaces/in"})
    heard: list[tuple[int, int | None]] = []

    client.upload_workspace(tmp_path / "in", progress=lambda *said: heard.append(said))

    assert heard[-1] == (1_000_001, 1_000_001)
    assert heard == sorted(heard)


def test_a_download_tells_how_far_it_is(
    server: scripted.Server, client: Client, tmp_path: Path
) -> None:
    server.on("GET", "/jobs/job_1/artifacts/a", REPORT)
    heard: list[tuple[int, int | None]] = []

    got = client.download("job_1", "a", tmp_path, progress=lambda *said: heard.append(said))

    assert not got.verified
    assert heard[-1] == (len(REPORT), len(REPORT))


def test_all_files_come_as_one_archive(
    server: scripted.Server, client: Client, tmp_path: Path
) -> None:
    server.on("GET", "/jobs/job_1/artifacts.tar.gz", b"packed")

    got = client.download_archive("job_1", tmp_path / "new" / "all.tar.gz")

    assert got.file.read_bytes() == b"packed"

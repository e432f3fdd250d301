from __future__ import annotations

import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.archives import packing, reading

FORMS = ["tar", "tar.gz", "tar.zst"]


@pytest.mark.parametrize("form", FORMS)
def test_each_kind_of_tar_becomes_one_plain_tar(form: str) -> None:
    content = packing.tar(
        ("a.txt", b"alpha"), ("b/c.bin", bytes(100_000)), packing.link("b/d", "../a.txt")
    )

    found = reading.normalised(packing.packed(content, form))

    assert list(found) == ["a.txt", "b/c.bin", "b/d"]
    assert found["a.txt"][1] == b"alpha"
    assert found["b/c.bin"][1] == bytes(100_000)
    assert found["b/d"][0].linkname == "../a.txt"


def test_a_zip_becomes_the_same_tar() -> None:
    content = packing.zipped(
        (packing.zip_info("a.txt", stat.S_IFREG | 0o644), b"alpha"),
        (packing.zip_info("run.sh", stat.S_IFREG | 0o755), b"#!/bin/sh\n"),
        (packing.zip_info("b/", stat.S_IFDIR | 0o755), b""),
        (packing.zip_info("b/d", stat.S_IFLNK | 0o777), b"../a.txt"),
        ("plain", b"from a tool that knows no modes"),
    )

    found = reading.normalised(content)

    assert found["a.txt"][0].mtime == packing.MTIME
    assert found["run.sh"][0].mode == 0o755
    assert found["b/d"][0].linkname == "../a.txt"
    assert found["plain"][1].startswith(b"from a tool")


def test_a_tree_packed_by_the_systems_tar_survives(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    deep = tree / "/".join(["folder"] * 30)
    deep.mkdir(parents=True)
    (deep / ("ü" * 100)).write_bytes(b"long")
    (tree / "script").write_bytes(b"x")
    (tree / "script").chmod(0o4755)
    (tree / "link").symlink_to("script")
    for form in ("gnu", "pax", "ustar"):
        names = ["script", "link"] if form == "ustar" else ["."]
        made = subprocess.run(
            ["tar", "-C", tree, f"--format={form}", "-czf", "-", *names],
            check=True, capture_output=True,
        ).stdout  # fmt: skip

        found = reading.normalised(made)

        assert found["script"][0].mode == 0o755
        assert found["link"][0].issym()
        if form != "ustar":
            assert found["/".join(["folder"] * 30 + ["ü" * 100])][1] == b"long"


def test_owner_and_modes_are_made_safe() -> None:
    secret = packing.file("secret", mode=0o6000)
    secret.uid, secret.uname = 0, "root"

    info, _ = reading.normalised(packing.tar(secret))["secret"]

    assert (info.uid, info.gid, info.uname, info.gname) == (1000, 1000, "agent", "agent")
    assert info.mode == 0o600
    assert info.mtime == packing.MTIME


def test_a_single_top_folder_is_stripped() -> None:
    content = packing.tar(
        packing.folder("project"),
        ("./project/a", b"x"),
        packing.link("project/sub/up", "../a"),
        ("__MACOSX/project/._a", b"litter"),
        ("._project", b"litter"),
    )

    assert list(reading.normalised(content)) == ["a", "sub/up"]


@pytest.mark.parametrize(
    "members",
    [[("a", b"x")], [("a/b", b"x"), ("c", b"y")], [("a/b", b"x"), ("c/d", b"y")]],
)
def test_anything_else_at_the_top_stays(members: list[tuple[str, bytes]]) -> None:
    assert list(reading.normalised(packing.tar(*members))) == [name for name, _ in members]


def test_the_same_content_gives_the_same_checksum_whatever_the_packing() -> None:
    members = (("p/a", b"alpha"), ("p/b", b"beta"))
    archives = [
        packing.packed(packing.tar(*members, format=form), kind)
        for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT)
        for kind in FORMS
    ]

    seen = {reading.checksum(each) for each in archives}

    assert len(seen) == 1


def test_git_archives_comment_is_let_in() -> None:
    content = packing.tar(("a", b"x"), format=tarfile.PAX_FORMAT, pax_headers={"comment": "f" * 40})

    assert list(reading.normalised(content)) == ["a"]


def test_a_utf8_name_without_the_flag_is_understood() -> None:
    content = packing.zipped(("xy", b"1"), ("z", b"2")).replace(b"xy", "é".encode())

    assert "é" in reading.normalised(content)


def test_an_allowed_link_resolves_inside() -> None:
    links = {"a/b/up": "../../c", "a/here": ".", "x": "a/b/up", "dangling": "not/there"}
    content = packing.tar(("c", b"x"), *(packing.link(*each) for each in links.items()))

    found = reading.normalised(content)

    assert {name: found[name][0].linkname for name in links} == links

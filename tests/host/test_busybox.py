"""Only a binary that needs no loader can be the shell of any image."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

import pytest

from knify.host import busybox


def test_a_dynamic_program_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = shutil.which("cat")
    assert program
    shutil.copy(program, tmp_path / "busybox")
    monkeypatch.setattr(busybox, "_PLACES", (str(tmp_path / "busybox"),))

    assert busybox.find() is None


def test_a_script_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "busybox").write_text("#!/bin/sh\n")
    monkeypatch.setattr(busybox, "_PLACES", (str(tmp_path / "busybox"),))

    assert busybox.find() is None


def test_the_image_holds_the_binary_and_its_names(tmp_path: Path) -> None:
    binary = tmp_path / "busybox"
    binary.write_bytes(b"program")

    with tarfile.open(fileobj=io.BytesIO(busybox.image_tar(binary))) as tar:
        held = tar.extractfile("bin/busybox")
        assert held is not None and held.read() == b"program"
        assert tar.getmember("bin/busybox").mode == 0o755
        assert tar.getmember("bin/sh").linkname == "busybox"

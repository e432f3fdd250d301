"""Package sources come from the host's own configuration, without third parties."""

from __future__ import annotations

from pathlib import Path

import pytest

from knify.host import bootstrap

DEB822 = """\
Types: deb deb-src
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://vendor.example/apt
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/vendor.gpg

Types: deb
URIs: http://old.example/debian
Suites: bookworm
Components: main
Enabled: no
"""

ONE_LINE = """\
# deb http://mirror.example/debian bookworm main
deb http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/vendor.gpg] https://vendor.example bookworm main
deb [arch=amd64] http://mirror.example/debian-security bookworm-security main contrib
deb https://other.example/linux bookworm stable
deb http://mirror.example/debian trixie main
deb-src http://mirror.example/debian bookworm main
"""


@pytest.fixture(autouse=True)
def _no_sources_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APT_SOURCES", raising=False)


def _apt(folder: Path, name: str, text: str) -> Path:
    (folder / "sources.list.d").mkdir()
    (folder / name).write_text(text)
    return folder


def test_a_deb822_file_gives_the_releases_own_suites(tmp_path: Path) -> None:
    apt = _apt(tmp_path, "sources.list.d/debian.sources", DEB822)

    key = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
    assert bootstrap.sources(apt, "bookworm") == [
        f"deb {key} http://mirror.example/debian bookworm main contrib",
        f"deb {key} http://mirror.example/debian bookworm-updates main contrib",
    ]


def test_a_one_line_file_gives_the_releases_own_entries(tmp_path: Path) -> None:
    apt = _apt(tmp_path, "sources.list", ONE_LINE)

    assert bootstrap.sources(apt, "bookworm") == [
        "deb http://mirror.example/debian bookworm main",
        "deb [arch=amd64] http://mirror.example/debian-security bookworm-security main contrib",
    ]


def test_the_operators_sources_replace_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt = _apt(tmp_path, "sources.list", ONE_LINE)
    monkeypatch.setenv("APT_SOURCES", "deb http://inside.example/debian bookworm main\n")

    expected = ["deb http://inside.example/debian bookworm main"]
    assert bootstrap.sources(apt, "bookworm") == expected

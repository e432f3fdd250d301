"""A build gets what its recipe asks for, from where this host gets its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from knify import errors
from knify.host import mirrors, wheels


def test_only_what_a_recipe_declares_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APT_SOURCES", "deb http://mirror.example/debian bookworm main")
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://npm.example/")

    assert mirrors.given({"BASE"}) == {}
    assert mirrors.given({"NPM_CONFIG_REGISTRY"}) == {"NPM_CONFIG_REGISTRY": "https://npm.example/"}


def test_without_a_word_of_the_operator_the_hosts_npm_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    npm = tmp_path / "npm"
    npm.write_text(
        "#!/bin/sh\n[ \"$*\" = 'config get registry' ] && echo https://inside.example/\n"
    )
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("NPM_CONFIG_REGISTRY", raising=False)

    found = mirrors.given({"NPM_CONFIG_REGISTRY"})

    assert found == {"NPM_CONFIG_REGISTRY": "https://inside.example/"}


def test_a_host_without_npm_gives_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("NPM_CONFIG_REGISTRY", raising=False)

    assert mirrors.given({"NPM_CONFIG_REGISTRY"}) == {}


def test_a_package_that_is_not_to_be_had_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "requirements.txt").write_text("knify-no-such-thing==1.0\n")

    with pytest.raises(errors.SandboxError, match="knify-no-such-thing"):
        wheels.into(tmp_path / "python", tmp_path / "requirements.txt", "3.11")

"""A recipe's hash follows everything that goes into its image."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from knify import errors
from knify.host import recipes


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> recipes.Recipe:
    """A copy of the base recipe in a project of its own."""
    monkeypatch.delenv("KNIFY_BASE_FROM", raising=False)
    shutil.copytree(recipes.load("base").folder, tmp_path / "deploy" / "images" / "base")
    (tmp_path / "local-ca").mkdir()
    monkeypatch.setattr(recipes, "_PROJECT", tmp_path)
    return recipes.load("base")


def test_a_changed_file_changes_the_hash(base: recipes.Recipe) -> None:
    before = base.digest()

    (base.folder / "packages").write_text("bash\n")

    assert base.digest() != before


def test_a_new_private_ca_changes_the_hash(base: recipes.Recipe, tmp_path: Path) -> None:
    before = base.digest()

    (tmp_path / "local-ca" / "office.crt").write_text("a certificate")

    assert base.digest() != before


def test_an_image_above_changes_with_the_one_below(base: recipes.Recipe, tmp_path: Path) -> None:
    above = tmp_path / "deploy" / "images" / "tools"
    above.mkdir()
    (above / "Containerfile").write_text(f"ARG BASE={base.tag}\nFROM ${{BASE}}\n")
    before = recipes.load("tools").digest()

    (base.folder / "packages").write_text("bash\n")

    assert recipes.load("tools").parent == "base"
    assert recipes.load("tools").digest() != before


def test_the_base_can_stand_on_another_image(
    base: recipes.Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KNIFY_BASE_FROM", "registry.example/debian:12")

    assert base.base == "registry.example/debian:12"
    assert base.parent is None


def test_a_comment_is_no_package() -> None:
    packages = recipes.load("base").packages

    assert "python3-pytest" in packages
    assert not any("#" in name or " " in name for name in packages)


@pytest.mark.parametrize("name", ["none", "../base", "", "Base"])
def test_a_name_that_is_no_recipe_is_refused(name: str) -> None:
    with pytest.raises(errors.ConfigError, match="no image recipe"):
        recipes.load(name)

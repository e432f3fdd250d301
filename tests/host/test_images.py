"""Images are built by real Podman, once per recipe, and leave nothing else behind."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from knify import errors
from knify import settings as settings_module
from knify.host import containers_conf, images, podman, probe, recipes

pytestmark = [pytest.mark.podman, pytest.mark.usefixtures("real_podman", "own_facts")]


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[recipes.Recipe]:
    """A recipe of one COPY and one RUN on a tiny image, in a project of its own."""
    name = f"t{secrets.token_hex(4)}"
    folder = tmp_path / "deploy" / "images" / name
    folder.mkdir(parents=True)
    (folder / "note").write_text("one\n")
    monkeypatch.setattr(recipes, "_PROJECT", tmp_path)
    with probe.tiny_image() as base:
        # A name outside our own prefix: else it would count as another recipe's image.
        foreign = base.replace("knify/", "knify-test/")
        podman.call("tag", base, foreign)
        text = f"ARG BASE={foreign}\nFROM ${{BASE}}\nCOPY note /note\nRUN cat /note > /copy\n"
        (folder / "Containerfile").write_text(text)
        made = recipes.load(name)
        yield made
        podman.call("rmi", "--force", made.tag)
        podman.call("rmi", "--force", foreign)


def _shown(tag: str, conf: Path) -> str:
    answer = probe.Prober(tag, conf).run(command=("cat", "/copy"))
    return answer.out or answer.err


def test_an_image_is_built_once_and_again_when_its_recipe_changed(
    host_settings: settings_module.Settings, recipe: recipes.Recipe
) -> None:
    conf = host_settings.home / "containers.conf"
    said: list[str] = []

    images.ensure(host_settings, recipe.name, said.append)
    images.ensure(host_settings, recipe.name, said.append)
    assert len(said) == 1
    assert _shown(recipe.tag, conf) == "one\n"

    (recipe.folder / "note").write_text("two\n")
    images.ensure(host_settings, recipe.name, said.append)
    assert len(said) == 2
    assert _shown(recipe.tag, conf) == "two\n"


def test_the_image_before_is_removed_when_it_lost_its_name(
    host_settings: settings_module.Settings, recipe: recipes.Recipe
) -> None:
    images.ensure(host_settings, recipe.name, lambda _: None)
    before = podman.call("image", "inspect", "--format", "{{.Id}}", recipe.tag).out.strip()

    (recipe.folder / "note").write_text("two\n")
    images.ensure(host_settings, recipe.name, lambda _: None)

    assert not images.exists(before)


def test_a_failed_build_keeps_the_image_before_and_tells_why(
    host_settings: settings_module.Settings, recipe: recipes.Recipe
) -> None:
    images.ensure(host_settings, recipe.name, lambda _: None)

    with (recipe.folder / "Containerfile").open("a") as containerfile:
        containerfile.write("RUN echo broken-on-purpose >&2; exit 7\n")
    with pytest.raises(errors.SandboxError, match="broken-on-purpose"):
        images.ensure(host_settings, recipe.name, lambda _: None)

    assert images.exists(recipe.tag)
    assert not images.current(recipe.name)
    assert f"{recipes.PREFIX}building" not in podman.call("images").out


def test_a_base_that_nobody_has_is_named(
    host_settings: settings_module.Settings, recipe: recipes.Recipe
) -> None:
    (recipe.folder / "Containerfile").write_text("ARG BASE=localhost:9/nothing:1\nFROM ${BASE}\n")

    with pytest.raises(errors.SandboxError, match="localhost:9/nothing:1"):
        images.build(host_settings, recipe.name, lambda _: None)


@pytest.mark.slow
def test_the_base_image_has_what_jobs_expect(
    host_settings: settings_module.Settings,
) -> None:
    conf = containers_conf.write(host_settings, probe.facts_or_probe(host_settings))
    images.ensure_base(host_settings, lambda _: None)

    prober = probe.Prober(host_settings.base_image, conf)
    script = "id -un; pwd; for p in bash git curl jq rg node python; do command -v $p; done"
    answer = prober.run(command=("bash", "-ec", script))
    assert answer.out.split()[:2] == ["agent", "/workspace"], answer
    assert len(answer.out.split()) == 9, answer

"""Images are built by real Podman, once per recipe, and leave nothing else behind."""

from __future__ import annotations

import json
import secrets
import zipfile
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


@pytest.fixture
def wheel_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for all the packages there are: one."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "knify_probe-1.0-py3-none-any.whl", "w") as wheel:
        info = "knify_probe-1.0.dist-info"
        wheel.writestr("knify_probe.py", "there = True\n")
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: knify-probe\nVersion: 1.0\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def _shown(tag: str, conf: Path) -> str:
    answer = probe.Prober(tag, conf).run(command=("cat", "/copy"))
    return answer.out or answer.err


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_an_image_says_which_installation_built_it(
    host_settings: settings_module.Settings, recipe: recipes.Recipe
) -> None:
    host_settings.home.mkdir(parents=True, exist_ok=True)
    (host_settings.home / "installation").write_text("inst_1\n")

    images.build(host_settings, recipe.name, lambda _: None)

    found = images.look(recipe.tag)
    assert found is not None
    assert found.installation == "inst_1"
    assert found.digest.startswith("sha256:")
    assert found.size > 0


def test_python_packages_come_by_the_pip_of_this_host(
    host_settings: settings_module.Settings, recipe: recipes.Recipe, wheel_folder: Path
) -> None:
    podman.call("tag", recipes.BASE_TAG, recipe.base)
    (recipe.folder / "requirements.txt").write_text("knify-probe==1.0\n")
    text = f"ARG BASE={recipe.base}\nFROM ${{BASE}}\nCOPY python/knify_probe.py /copy\n"
    (recipe.folder / "Containerfile").write_text(text)

    images.build(host_settings, recipe.name, lambda _: None)

    assert _shown(recipe.tag, host_settings.home / "containers.conf") == "there = True\n"


def test_a_base_that_nobody_has_is_named(
    host_settings: settings_module.Settings, recipe: recipes.Recipe
) -> None:
    (recipe.folder / "Containerfile").write_text("ARG BASE=localhost:9/nothing:1\nFROM ${BASE}\n")

    with pytest.raises(errors.SandboxError, match="localhost:9/nothing:1"):
        images.build(host_settings, recipe.name, lambda _: None)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_data_image_reads_and_draws(host_settings: settings_module.Settings) -> None:
    conf = containers_conf.write(host_settings, probe.facts_or_probe(host_settings))
    images.ensure(host_settings, "data", lambda _: None)

    prober = probe.Prober(recipes.load("data").tag, conf)
    script = (
        "import duckdb, psycopg, sqlite3, matplotlib.pyplot as p\n"
        "print(duckdb.execute('select 41 + 1').fetchone()[0], p.get_backend())\n"
    )
    tmp = ("--read-only", "--tmpfs=/tmp", "--tmpfs=/home/agent:U")
    answer = prober.run(*tmp, command=("python3", "-c", script))
    assert answer.out.split() == ["42", "agg"], answer


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_the_agents_image_has_their_programs(host_settings: settings_module.Settings) -> None:
    conf = containers_conf.write(host_settings, probe.facts_or_probe(host_settings))
    images.ensure(host_settings, "agents", lambda _: None)

    prober = probe.Prober(recipes.load("agents").tag, conf)
    lock = json.loads((recipes.load("agents").folder / "package.json").read_text())
    script = "claude --version; gemini --version; codex --version; rg --version; git --version"
    answer = prober.run(command=("bash", "-ec", script))
    for version in lock["dependencies"].values():
        assert version in answer.out, answer


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_the_browser_image_drives_its_browser(host_settings: settings_module.Settings) -> None:
    conf = containers_conf.write(host_settings, probe.facts_or_probe(host_settings))
    images.ensure(host_settings, "e2e", lambda _: None)

    prober = probe.Prober(recipes.load("e2e").tag, conf)
    script = (
        "import os\n"
        "from playwright.sync_api import sync_playwright\n"
        "with sync_playwright() as p:\n"
        "    b = p.chromium.launch(executable_path=os.environ['KNIFY_CHROMIUM'],\n"
        "        args=['--no-sandbox', '--disable-dev-shm-usage'])\n"
        "    page = b.new_page(); page.set_content('<title>hello</title>'); print(page.title())\n"
    )
    tmp = ("--read-only", "--tmpfs=/tmp", "--tmpfs=/home/agent:U")
    answer = prober.run(*tmp, command=("python3", "-c", script))
    assert answer.out == "hello\n", answer


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

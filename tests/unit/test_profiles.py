"""Profiles: an image and defaults under one name."""

from __future__ import annotations

from pathlib import Path

import pytest

from knify import errors, profiles, spec

TABLE = """
heavy:
  image: localhost/team/heavy:1
  cpus: 16
  memory: 32G
basic:
  cpus: 1
"""


def load(folder: Path, text: str) -> profiles.Profiles:
    file = folder / "profiles.yaml"
    file.write_text(text)
    return profiles.load(file)


def test_the_documented_defaults_are_those_of_the_default_profile() -> None:
    found = profiles.find(profiles.load(None), profiles.DEFAULT).resources

    assert (found.cpus, found.memory, found.disk) == (4, 8 * 1024**3, 40 * 1024**3)


def test_the_operator_adds_profiles_and_changes_ours(tmp_path: Path) -> None:
    known = load(tmp_path, TABLE)

    heavy, basic = known["heavy"], known["basic"]
    assert heavy.image == "localhost/team/heavy:1" and heavy.recipe is None
    assert (heavy.resources.cpus, heavy.resources.memory) == (16, 32 * 1024**3)
    assert heavy.resources.disk == 40 * 1024**3  # as in the default one
    assert basic.resources.cpus == 1 and basic.image is None
    assert set(known) == {"agentic-dev", "basic", "heavy"}


def test_what_a_spec_says_goes_before_its_profile(tmp_path: Path) -> None:
    heavy = load(tmp_path, TABLE)["heavy"]
    request = {"job_type": "command_task", "command": ["x"], "cpus": 2}

    built = spec.build(request, allowed_images=(), resources=heavy.resources)

    assert (built.resources.cpus, built.resources.memory) == (2, 32 * 1024**3)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", "must be a table"),
        ("a: 1", "a must be a table"),
        ("a: {gpu: 1}", "a must be a table of cpus, disk, image, memory"),
        ("-x: {}", "'-x' cannot be a profile's name"),
        ("a: {image: '--x'}", "a.image"),
        ("a: {cpus: many}", "a: cpus: write a number"),
        ("a: {memory: [1]}", "a: memory: write a size"),
        ("a: {disk: 0}", "a: disk must be between"),
    ],
)
def test_a_wrong_table_stops_the_start_and_says_where(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(errors.ConfigError, match="KNIFY_PROFILES_FILE") as wrong:
        load(tmp_path, text)

    assert why in wrong.value.message


def test_an_unknown_one_is_refused_with_the_nearest() -> None:
    with pytest.raises(errors.BadRequest, match="did you mean basic") as wrong:
        profiles.find(profiles.OURS, "basik")

    assert wrong.value.detail == {"field": "vm.profile"}

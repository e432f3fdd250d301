"""The first start makes the installation once, however many processes come at once."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from knify import core, errors, hints, install, settings
from knify.services import keys
from knify.store import ready


@pytest.fixture
def config(redis_url: str, home: Path) -> settings.Settings:
    """Of an installation that has not been started yet."""
    return settings.load({"KNIFY_HOME": str(home), "KNIFY_REDIS_URL": redis_url})


def test_of_many_first_starts_one_makes_the_admin_key(config: settings.Settings) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = [key for key in threads.map(install.install, [config] * 8) if key is not None]

    assert len(made) == 1
    own = core.connect(config, hints.RecordedHints())
    assert keys.authenticate(own, made[0]).scopes == ("admin",)
    assert own.store.access.page_keys("default")[1] == 1
    assert install.key_file(config).read_text() == made[0] + "\n"
    assert install.key_file(config).stat().st_mode & 0o777 == 0o600


def test_the_first_admin_key_has_no_limit_whatever_the_default_tier(
    config: settings.Settings,
) -> None:
    poor = dataclasses.replace(config, default_tier="free")
    made = install.install(poor)

    key = keys.authenticate(core.connect(poor, hints.RecordedHints()), made or "")

    assert (key.tier, key.limit) == ("enterprise", None)


def test_a_home_of_another_installation_is_refused(config: settings.Settings) -> None:
    install.install(config)
    (config.home / "installation").write_text("inst_other\n")

    with pytest.raises(errors.ConfigError, match="belongs to inst_other"):
        install.install(config)


def test_waiting_for_redis_says_why_and_gives_up_in_time(
    config: settings.Settings, tmp_path: Path
) -> None:
    away = dataclasses.replace(config, redis_url=f"unix://{tmp_path}/nobody.sock")
    said: list[str] = []

    with pytest.raises(errors.ConfigError, match="Redis does not answer"):
        ready.wait(away, said.append, 1.2)
    assert [line.partition(":")[0] for line in said] == ["waiting for Redis"]


def test_a_redis_that_answers_costs_no_line(config: settings.Settings) -> None:
    said: list[str] = []

    ready.wait(config, said.append, 5)

    assert said == []

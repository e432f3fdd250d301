"""Secrets may come from files; addresses of Redis and of proxies are read with care."""

from __future__ import annotations

from pathlib import Path

import pytest

from knify import errors, secretfiles, settings


def test_a_file_holds_what_no_environment_should(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-of-the-operator\n")
    (tmp_path / "none").write_text("\n")

    found = secretfiles.read(
        {
            "OPENAI_API_KEY_FILE": str(tmp_path / "key"),
            "GEMINI_API_KEY_FILE": str(tmp_path / "none"),
            "HOME_FILE": str(tmp_path / "key"),
        }
    )

    assert found == {"OPENAI_API_KEY": "sk-of-the-operator"}


def test_a_file_and_a_value_or_a_file_that_is_not_there_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("y" * 16)
    file = str(tmp_path / "token")
    both = {"KNIFY_METRICS_TOKEN_FILE": file, "KNIFY_METRICS_TOKEN": "x" * 16}

    with pytest.raises(errors.ConfigError, match="are both set"):
        secretfiles.read(both)
    secretfiles.read(both | {"KNIFY_METRICS_TOKEN": "y" * 16})
    with pytest.raises(errors.ConfigError, match="KNIFY_METRICS_TOKEN_FILE cannot be read"):
        secretfiles.read({"KNIFY_METRICS_TOKEN_FILE": str(tmp_path / "away")})


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("redis://redis:6379/0", "redis://:p%2Fw%40@redis:6379/0"),
        ("rediss://knify@redis:6379/0", "rediss://knify:p%2Fw%40@redis:6379/0"),
        ("redis://knify:own@redis:6379/0", "redis://knify:own@redis:6379/0"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_redis_password_goes_where_the_address_has_none(url: str, whole: str) -> None:
    config = settings.load({"KNIFY_REDIS_URL": url, "KNIFY_REDIS_PASSWORD": "p/w@"})

    assert config.redis == whole


def test_proxies_are_addresses_networks_and_names() -> None:
    config = settings.load({"KNIFY_TRUSTED_PROXIES": "10.0.0.5, 10.1.0.9/24,::1,proxy"})

    assert [str(one) for one in config.trusted_proxies] == [
        *("10.0.0.5/32", "10.1.0.0/24", "::1/128", "proxy")
    ]
    with pytest.raises(errors.ConfigError, match=r"PROXIES: '10\.0\.0' is no address"):
        settings.load({"KNIFY_TRUSTED_PROXIES": "10.0.0"})


@pytest.mark.parametrize("name", ["node-1", "Node_1", "ip-10-0-0-1.ec2.internal"])
def test_a_node_may_be_named_as_machines_are(name: str) -> None:
    assert settings.load({"KNIFY_NODE": name}).node == name


@pytest.mark.parametrize("name", ["a b", "-n", "n:1", "n/../m", "n" * 254, "n\n"])
def test_a_nodes_name_that_keys_and_queues_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(errors.ConfigError, match="KNIFY_NODE"):
        settings.load({"KNIFY_NODE": name})


def test_the_homes_file_is_read_and_the_working_folders_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    for folder in (home, here):
        folder.mkdir()
    (home / ".env").write_text("KNIFY_PORT=9001\nKNIFY_SLOTS=3\n")
    (here / ".env").write_text("KNIFY_PORT=9002\nKNIFY_NODE=compose\n")
    monkeypatch.chdir(here)
    monkeypatch.setenv("KNIFY_HOME", str(home))
    monkeypatch.setenv("KNIFY_SLOTS", "5")
    monkeypatch.setenv("KNIFY_PORT", "to be forgotten again at the end")
    monkeypatch.delenv("KNIFY_PORT")

    found = settings.load()

    assert (found.port, found.slots) == (9001, 5)
    assert found.node != "compose"

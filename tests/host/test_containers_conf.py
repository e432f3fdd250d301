"""The rendered configuration is TOML that Podman reads as meant."""

from __future__ import annotations

import tomllib
from pathlib import Path

from knify.host import containers_conf


def test_soft_and_hard_limits_are_equal() -> None:
    read = tomllib.loads(containers_conf.Conf("runc", nofile=4096, nproc=1024).render())

    assert read["containers"]["default_ulimits"] == ["nofile=4096:4096", "nproc=1024:1024"]


def test_nothing_is_limited_before_it_was_measured() -> None:
    read = tomllib.loads(containers_conf.Conf("runc").render())

    assert read["containers"]["default_ulimits"] == []


def test_the_hosts_proxy_stays_outside() -> None:
    assert tomllib.loads(containers_conf.Conf("runc").render())["containers"]["http_proxy"] is False


def test_a_runtime_given_as_a_path_is_found_there(tmp_path: Path) -> None:
    runtime = tmp_path / "runsc"
    runtime.touch()

    engine = tomllib.loads(containers_conf.Conf(str(runtime)).render())["engine"]

    assert engine["runtime"] == "runsc"
    assert engine["runtimes"]["runsc"] == [str(runtime)]


def test_an_unchanged_file_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "containers.conf"
    written = containers_conf.Conf("runc").write(path).stat()

    assert containers_conf.Conf("runc").write(path).stat().st_ino == written.st_ino
    assert containers_conf.Conf("crun").write(path).stat().st_ino != written.st_ino

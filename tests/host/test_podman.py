"""The command line has a time limit; the private service starts, answers and reads our file."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from knify import errors
from knify import settings as settings_module
from knify.host import containers_conf, podman, probe


@pytest.fixture
def service(
    host_settings: settings_module.Settings, own_facts: Path, real_podman: None
) -> Iterator[settings_module.Settings]:
    """A running private service."""
    containers_conf.write(host_settings, probe.facts_or_probe(host_settings))
    host_settings.run_dir.mkdir(parents=True)
    argv, env = podman.service_command(host_settings)
    with subprocess.Popen(argv, env=env, start_new_session=True) as process:
        try:
            podman.wait_ready(podman.socket_path(host_settings), time.monotonic() + 15)
            yield host_settings
        finally:
            process.send_signal(signal.SIGTERM)


@pytest.mark.podman
def test_the_private_service_answers_on_its_socket(service: settings_module.Settings) -> None:
    assert podman.ping(podman.socket_path(service)) is None


@pytest.mark.podman
def test_a_container_made_without_limits_gets_the_measured_ones(
    service: settings_module.Settings,
) -> None:
    found = probe.facts_or_probe(service)
    url = f"unix://{podman.socket_path(service)}"

    with probe.tiny_image() as image:
        options = ("--rm", "--network=none", "--label", probe.LABEL)
        answer = podman.call("--remote", "--url", url, "run", *options, image, "sh", "-c", _LIMITS)

    assert answer.out.split() == [str(found.nofile)] * 2 + [str(found.nproc)] * 2, answer.err


_LIMITS = "ulimit -Sn; ulimit -Hn; ulimit -Su; ulimit -Hu"


def test_waiting_for_a_service_ends_at_the_deadline(tmp_path: Path) -> None:
    with pytest.raises(errors.SandboxError, match="does not answer"):
        podman.wait_ready(tmp_path / "no.sock", time.monotonic() + 0.1)


def test_a_call_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = tmp_path / "podman"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    answer = podman.call("info", timeout=0.2)

    assert answer.code == 124
    assert "took longer" in answer.reason


def test_a_missing_podman_is_an_answer_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    assert podman.call("info").code == 127
    assert podman.version() is None


def test_the_operators_secrets_do_not_reach_podman(
    host_settings: settings_module.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "canary")

    _, env = podman.service_command(host_settings)

    assert "canary" not in env.values()
    assert env["CONTAINERS_CONF"] == str(host_settings.home / "containers.conf")


def test_a_container_that_podman_cannot_look_at_keeps_no_other_from_being_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Podman 4.3 prints nothing at all when one of those asked for is half removed."""

    def call(*argv: str, **_: object) -> podman.Answer:
        if argv[0] == "ps":
            return podman.Answer(0, "a b half c", "")
        if "half" in argv:
            return podman.Answer(125, "", "container not known")
        names = argv[argv.index("--format") + 2 :]
        return podman.Answer(0, '{"UidMap": ["0:1000:4096"]}\n' * len(names), "")

    monkeypatch.setattr(podman, "call", call)

    assert podman.mapped_ids() == 3 * 4096

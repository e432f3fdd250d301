"""Doctor names what is missing, what that means and what cures it."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from knify import doctor
from knify import settings as settings_module
from knify.gateway import checks
from knify.host import facts, podman, podmancheck, survey
from tests.parts import gateway

GOOD = facts.HostFacts(
    oci_runtime="crun",
    nofile=65_536,
    nproc=65_536,
    userns_auto=True,
    init=True,
    cgroup_version=2,
    memory_limit=True,
    pids_limit=True,
    cpu_limit=True,
    podman_version="4.3.1",
    kernel="6.1",
)


@pytest.fixture
def host(host_settings: settings_module.Settings) -> survey.Host:
    """A host on which all is well."""
    store = {"graphDriverName": "overlay", "graphRoot": "/"}
    info = {"store": store, "host": {"security": {"seccompEnabled": True}}}
    return survey.Host(host_settings, True, GOOD, "", info)


def test_limits_that_are_not_enforced_are_named(host: survey.Host) -> None:
    weak = dataclasses.replace(GOOD, memory_limit=False, cpu_limit=False)

    found = doctor.check_limits(dataclasses.replace(host, facts=weak))

    assert found.level == "failure"
    assert "memory, CPU" in found.message
    assert found.cure


def test_a_missing_cpu_limit_alone_is_a_warning(host: survey.Host) -> None:
    weak = dataclasses.replace(host, facts=dataclasses.replace(GOOD, cpu_limit=False))

    assert doctor.check_limits(weak).level == "warning"


def test_few_open_files_are_a_warning(host: survey.Host) -> None:
    weak = dataclasses.replace(host, facts=dataclasses.replace(GOOD, nofile=1_024))

    assert doctor.check_ulimits(weak).level == "warning"


def test_vfs_is_a_warning(host: survey.Host) -> None:
    slow = dataclasses.replace(host, info={"store": {"graphDriverName": "vfs"}})

    assert doctor.check_storage(slow).level == "warning"


def test_a_host_without_seccomp_fails(host: survey.Host) -> None:
    assert doctor.check_seccomp(dataclasses.replace(host, info={})).level == "failure"


def test_a_long_home_is_too_long_for_a_socket(host: survey.Host) -> None:
    fits = Path("/" + "h" * 80)
    long = Path("/" + "h" * 110)

    for home, level in ((fits, "ok"), (long, "failure")):
        settings = dataclasses.replace(host.settings, home=home)
        assert doctor.check_socket_path(dataclasses.replace(host, settings=settings)).level == level


def test_a_port_that_another_process_holds_is_a_failure(host: survey.Host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        busy = dataclasses.replace(
            host, settings=dataclasses.replace(host.settings, host="127.0.0.1", port=port)
        )
        assert doctor.check_port(busy).level == "failure"

        host.settings.run_dir.mkdir(parents=True)
        (host.settings.run_dir / "api.pid").write_text(str(os.getpid()))
        assert doctor.check_port(busy).level == "ok"


def test_a_home_below_a_file_cannot_be_written(host: survey.Host, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = dataclasses.replace(host.settings, home=tmp_path / "file" / "home")

    assert doctor.check_home(dataclasses.replace(host, settings=settings)).level == "failure"


def test_an_operators_podman_that_does_not_answer_is_a_failure(host: survey.Host) -> None:
    settings = dataclasses.replace(host.settings, podman_url="unix:///nonexistent/podman.sock")

    assert (
        podmancheck.check_service(dataclasses.replace(host, settings=settings)).level == "failure"
    )


def test_less_than_the_disk_reserve_is_a_failure(host: survey.Host) -> None:
    low = dataclasses.replace(host.settings, disk_reserve=2**60)

    found = doctor.check_disk(dataclasses.replace(host, settings=low))

    assert found.level == "failure"
    assert "KNIFY_DISK_RESERVE" in found.message


def test_without_facts_every_check_that_needs_them_says_why(host: survey.Host) -> None:
    blind = dataclasses.replace(host, facts=None, no_facts="crun: not installed")

    for check in (doctor.check_runtime, doctor.check_ulimits, doctor.check_limits):
        assert "crun: not installed" in check(blind).message


@pytest.mark.parametrize(
    ("kind", "tenants", "level"),
    [
        ("none", (), "ok"),
        ("own", (), "ok"),
        ("silent", (), "warning"),
        ("shared", (), "warning"),
        ("shared", ("a", "b"), "warning"),
        ("shared", ("a",), "ok"),
    ],
)
def test_a_browser_that_tenants_share_is_named(
    host: survey.Host, kind: str, tenants: tuple[str, ...], level: str
) -> None:
    settings = dataclasses.replace(host.settings, browser_tenants=tenants)
    with gateway.running(settings.gateway) as running:
        running.status = {"connections": 0, "browser": kind}

        found = checks.check_browser(dataclasses.replace(host, settings=settings))

    assert found.level == level, found
    assert ("one Chromium for all" in found.message) == (kind == "shared")


def test_a_container_that_starts_no_sandboxes_is_not_told_that_it_lacks_podman(
    host_settings: settings_module.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("container", "podman")
    monkeypatch.setattr(podman, "installed", lambda: False)

    found = {check.name: check for check in doctor.checks(host_settings)}

    assert found.keys() == {"podman", "home", "redis", "disk", "port"}
    assert found["podman"].level == "ok"


@pytest.mark.podman
@pytest.mark.usefixtures("real_podman", "own_facts")
def test_without_a_podman_of_its_own_the_service_is_asked(
    host_settings: settings_module.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sock = tmp_path / "podman.sock"
    argv = ["podman", "system", "service", "--time", "0", f"unix://{sock}"]
    settings = dataclasses.replace(host_settings, podman_url=f"unix://{sock}")
    own = {check.name: check for check in doctor.checks(host_settings)}
    with subprocess.Popen(argv, env=podman.environment(None)) as service:
        try:
            podman.wait_ready(sock, time.monotonic() + 30)
            monkeypatch.setattr(podman, "installed", lambda: False)
            monkeypatch.setattr(podman, "call", lambda *_, **__: podman.Answer(127, "", "none"))
            found = {check.name: check for check in doctor.checks(settings)}
        finally:
            service.kill()
    away = {check.name: check for check in doctor.checks(settings)}

    for name in ("podman", "seccomp", "storage", "base image", "job images"):
        assert found[name] == own[name], name
    assert found["locks"].level == own["locks"].level
    assert found["user ids"].level == "ok"
    assert "cannot be seen" in found["user ids"].message
    assert away["podman"].level == away["podman API"].level == "failure"


@pytest.mark.podman
@pytest.mark.usefixtures("real_podman", "own_facts")
def test_every_line_that_is_not_ok_has_a_cure(
    host_settings: settings_module.Settings,
) -> None:
    found = doctor.checks(host_settings)

    assert len({check.name for check in found}) == len(found)
    assert all(check.cure for check in found if check.level != "ok")
    runtime = next(check for check in found if check.name == "OCI runtime")
    assert runtime.level == "ok", runtime

"""The filter keeps Podman's rules and loses what the machine does not run natively."""

from __future__ import annotations

from typing import Any

import pytest

from knify import settings as settings_module
from knify.host import podman, probe, seccomp
from knify.host import setup as host_setup

PROFILE: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "archMap": [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
    ],
    "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}],
}


def test_only_the_native_architecture_stays() -> None:
    found = seccomp.narrowed(PROFILE, "aarch64")

    assert found["archMap"] == [{"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []}]
    assert found["syscalls"] == PROFILE["syscalls"]
    assert found["defaultAction"] == PROFILE["defaultAction"]


def test_an_unknown_machine_keeps_podmans_profile() -> None:
    assert seccomp.narrowed(PROFILE, "riscv64") == PROFILE


@pytest.mark.podman
@pytest.mark.usefixtures("real_podman", "own_facts")
def test_a_container_runs_filtered_by_it(host_settings: settings_module.Settings) -> None:
    host_setup.prepare(host_settings)
    conf = host_settings.home / "containers.conf"

    with probe.tiny_image() as image:
        prober = probe.Prober(image, conf)
        filtered = prober.run(command=("grep", "Seccomp:", "/proc/self/status"))
        shown = podman.call("info", "--format", "{{.Host.Security.SECCOMPProfilePath}}", conf=conf)

    assert filtered.out.split() == ["Seccomp:", "2"], filtered
    assert shown.out.strip() == str(host_settings.home / "seccomp.json")

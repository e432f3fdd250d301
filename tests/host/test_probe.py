"""Facts are measured on the real host, saved, and measured anew when they can have changed."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from knify import errors
from knify import settings as settings_module
from knify.host import containers_conf, facts, podman, probe

pytestmark = [pytest.mark.podman, pytest.mark.usefixtures("real_podman")]


def _nothing_is_left() -> bool:
    """Other probes may run on this host at the same time; theirs end, too."""
    deadline = time.monotonic() + 30
    while _probes() and time.monotonic() < deadline:
        time.sleep(0.2)
    return not _probes()


def _probes() -> list[str]:
    label = f"label={probe.LABEL}"
    containers = podman.call("ps", "--all", "--quiet", "--filter", label).out
    return (containers + podman.call("images", "--quiet", "--filter", label).out).split()


@pytest.mark.slow
def test_the_measured_limits_really_start_a_container(
    host_settings: settings_module.Settings, own_facts: Path, tmp_path: Path
) -> None:
    found = probe.probe_and_save(host_settings)

    conf = containers_conf.Conf(found.oci_runtime, found.nofile, found.nproc)
    with probe.tiny_image() as image:
        prober = probe.Prober(image, conf.write(tmp_path / "containers.conf"))
        limits = {"nofile": found.nofile, "nproc": found.nproc}
        answer = prober.run(command=("sh", "-c", "ulimit -n; ulimit -Hn"), ulimits=limits)
    assert answer.out.split() == [str(found.nofile)] * 2
    assert facts.load(own_facts) == found
    assert _nothing_is_left()


@pytest.mark.slow
def test_saved_facts_are_believed_until_the_kernel_changes(
    host_settings: settings_module.Settings, own_facts: Path
) -> None:
    measured = probe.facts_or_probe(host_settings)
    marked = dataclasses.replace(measured, nofile=7)

    marked.save(own_facts)
    assert probe.facts_or_probe(host_settings) == marked

    dataclasses.replace(marked, kernel="another").save(own_facts)
    assert probe.facts_or_probe(host_settings) == measured


@pytest.mark.slow
def test_another_runtime_of_the_operators_is_measured_anew_and_named_when_missing(
    host_settings: settings_module.Settings, own_facts: Path
) -> None:
    chosen = dataclasses.replace(host_settings, oci_runtime="no-such-runtime")

    with pytest.raises(errors.ConfigError, match="no-such-runtime: not installed"):
        probe.facts_or_probe(chosen)
    assert _nothing_is_left()


def test_a_limit_that_is_not_set_is_not_taken_for_enforced(
    host_settings: settings_module.Settings, own_facts: Path, tmp_path: Path
) -> None:
    found = probe.facts_or_probe(host_settings)
    conf = containers_conf.Conf(found.oci_runtime).write(tmp_path / "containers.conf")

    with probe.tiny_image() as image:
        unlimited = _Unlimited(image, conf)
        assert not probe.limits_memory(unlimited)
        assert not probe.limits_pids(unlimited)
        assert not probe.limits_cpu(unlimited)


class _Unlimited(probe.Prober):
    """Loses the limits on their way, as a host without the cgroup controllers would."""

    __slots__ = ()

    def run(
        self,
        *options: str,
        command: tuple[str, ...] = ("true",),
        ulimits: dict[str, int] | None = None,
    ) -> podman.Answer:
        return probe.Prober(self.image, self.conf).run(command=command, ulimits=ulimits)

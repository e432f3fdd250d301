"""What `knify setup` does on this host after the packages are installed; safe to run again."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from knify import errors
from knify import settings as settings_module
from knify.host import containers_conf, facts, images, interrupts, probe, subids

Say = Callable[[str], None]


def run(settings: settings_module.Settings, say: Say) -> facts.HostFacts:
    """Id ranges, facts, configuration, base image, in this order; returns the facts.

    Raises ConfigError or SandboxError with what has to be done first.
    """
    if os.geteuid() != 0:
        raise errors.ConfigError("setting up a host needs root: run it with sudo")
    added = subids.ensure()
    say(f"user ids for sandboxes: {'added ' if added else ''}{subids.owned():,}")
    found = prepare(settings)
    if probe.lacks(found):  # a package or an id range may have cured it meanwhile
        found = probe.probe_and_save(settings)
    say(f"containers run by {found.oci_runtime}, Podman {found.podman_version}")
    images.ensure_base(settings, say)
    say(f"base image {settings.base_image} is ready")
    return found


def prepare(settings: settings_module.Settings) -> facts.HostFacts:
    """Home, facts and containers.conf: what the private Podman service needs before it starts.

    A few milliseconds when the facts are known, some seconds when they must be measured.
    """
    for folder in (settings.home, settings.run_dir):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = probe.facts_or_probe(settings)
    containers_conf.write(settings, found)
    return found


def main() -> int:
    """The command behind `make setup`: one line a step, with the seconds so far."""
    started = time.monotonic()

    def say(line: str) -> None:
        sys.stdout.write(f"==> {time.monotonic() - started:5.1f} s  {line}\n")
        sys.stdout.flush()

    try:
        with interrupts.unwinding():
            run(settings_module.load(), say)
    except errors.KnifyError as failed:
        sys.stderr.write(f"knify setup: {failed}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""What `knify setup` does on this host after the packages are installed; safe to run again."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from knify import errors
from knify import settings as settings_module
from knify.host import containers_conf, facts, images, probe, subids

Say = Callable[[str], None]


def run(settings: settings_module.Settings, say: Say) -> facts.HostFacts:
    """Id ranges, facts, configuration, base image, in this order; returns the facts.

    Raises ConfigError or SandboxError with what has to be done first.
    """
    if os.geteuid() != 0:
        raise errors.ConfigError("setting up a host needs root: run it with sudo")
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    added = subids.ensure()
    say(f"user ids for sandboxes: {'added ' if added else ''}{subids.owned():,}")
    found = _facts(settings)
    say(f"containers run by {found.oci_runtime}, Podman {found.podman_version}")
    containers_conf.write(settings, found)
    images.ensure_base(settings, say)
    say(f"base image {settings.base_image} is ready")
    return found


def main() -> int:
    """The command behind `make setup`: one line a step, with the seconds so far."""
    started = time.monotonic()

    def say(line: str) -> None:
        sys.stdout.write(f"==> {time.monotonic() - started:5.1f} s  {line}\n")
        sys.stdout.flush()

    try:
        run(settings_module.load(), say)
    except errors.KnifyError as failed:
        sys.stderr.write(f"knify setup: {failed}\n")
        return 1
    return 0


def _facts(settings: settings_module.Settings) -> facts.HostFacts:
    """The saved facts are trusted only when nothing is missing: a package may have cured it."""
    found = probe.facts_or_probe(settings)
    return probe.probe_and_save(settings) if probe.lacks(found) else found


if __name__ == "__main__":
    raise SystemExit(main())

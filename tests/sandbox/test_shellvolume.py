"""What goes into the volume with our shell."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from knify import errors
from knify.sandbox import podman, shellvolume
from tests.sandbox import engine


def test_a_dynamic_busybox_is_refused(tmp_path: Path) -> None:
    script = tmp_path / "busybox"
    script.write_text("#!/bin/sh\n")

    for path in (Path("/bin/ls"), script, tmp_path / "none"):
        with pytest.raises(errors.ConfigError):
            shellvolume.contents(path)


@pytest.mark.skipif(sys.platform != "linux", reason="a profile of Linux")
@pytest.mark.podman
def test_two_workers_may_prepare_at_once(podman_url: str, installation: str) -> None:
    async def scenario() -> None:
        drivers = [podman.PodmanDriver(podman_url, installation, engine.FACTS) for _ in range(4)]
        await asyncio.gather(*(driver.prepare() for driver in drivers))

        assert len({driver._shell for driver in drivers}) == 1
        assert await drivers[0].owned() == []

    asyncio.run(scenario())

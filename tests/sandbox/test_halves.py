"""What a Podman that was killed over a container left of it is replaced or removed; files stay."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knify import ids
from knify.model import Resources
from knify.sandbox import base, podman, template
from tests.parts import podman as second_podman
from tests.sandbox import engine

pytestmark = pytest.mark.podman
SMALL = Resources(cpus=1, memory=256 * 1024**2, pids=128)


@pytest.fixture(scope="module")
def node() -> Iterator[second_podman.Root]:
    """A Podman root whose storage may be damaged."""
    reason = engine.missing()
    if reason is not None:
        pytest.skip(reason)
    with second_podman.root() as root:
        yield root


def halve(node: second_podman.Root, name: str, *gone: str) -> None:
    """Take parts of a container out of Podman's storage, as a death in a removal does."""
    containers = Stored(node.store / "overlay-containers/containers.json")
    layers = Stored(node.store / "overlay-layers/layers.json")
    container = next(row for row in containers.rows if name in row.get("names", ()))
    if "record" in gone:
        containers.write([row for row in containers.rows if row is not container])
    if "folder of the record" in gone:
        shutil.rmtree(node.store / "overlay-containers" / container["id"])
    if "layer" in gone:
        layers.write([row for row in layers.rows if row["id"] != container["layer"]])
    if "folder of the layer" in gone:
        shutil.rmtree(node.store / "overlay" / container["layer"])
    node.kill_service()  # it remembers what it has read
    node.start()


class Stored:
    """One of the storage's lists."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = json.loads(path.read_text())

    def write(self, rows: list[dict[str, Any]]) -> None:
        self.path.write_text(json.dumps(rows))


@pytest.mark.parametrize(
    "gone",
    [
        ("layer",),
        ("folder of the layer",),
        ("layer", "folder of the layer"),
        ("record",),
        ("folder of the record",),
        ("record", "folder of the record", "layer", "folder of the layer"),
    ],
    ids=" and ".join,
)
def test_a_half_of_a_container_is_replaced_over_its_files_and_can_be_removed(
    node: second_podman.Root, installation: str, gone: tuple[str, ...]
) -> None:
    request = base.SandboxRequest(ids.new("sbx"), engine.IMAGE, SMALL)
    name = template.container_name(request.sandbox_id)

    async def made() -> Path:
        driver = podman.PodmanDriver(node.url, installation, engine.FACTS)
        await driver.create(request)
        return await driver.workspace_root(request.sandbox_id)

    workspace = asyncio.run(made())
    (workspace / "kept").write_text("yes")
    halve(node, name, *gone)

    async def replaced() -> base.ContainerStatus | None:
        driver = podman.PodmanDriver(node.url, installation, engine.FACTS)
        return await driver.inspect(await driver.rebuild(request))

    assert asyncio.run(replaced()) is not None
    assert (workspace / "kept").read_text() == "yes"
    halve(node, name, *gone)

    async def removed() -> list[base.Listed]:
        driver = podman.PodmanDriver(node.url, installation, engine.FACTS)
        await driver.remove(request.sandbox_id)
        return [row for row in await driver.owned() if row.sandbox_id == request.sandbox_id]

    assert asyncio.run(removed()) == []
    assert node.podman("ps", "--all", "--external", "--quiet") == ""

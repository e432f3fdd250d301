"""The list of images costs Podman much, so it is asked for only when it may have changed."""

from __future__ import annotations

import asyncio
import subprocess

import pytest

from knify import ids
from knify.sandbox import api, imagestore
from tests.sandbox import engine

pytestmark = pytest.mark.podman


class CountingApi(api.Api):
    """Podman's API, with the number of lists that were asked for."""

    lists = 0

    async def call(self, method: str, path: str, **options: object) -> object:
        self.lists += path == "/images/json"
        return await super().call(method, path, **options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_images_are_listed_once_until_there_is_another(podman_url: str) -> None:
    tag = f"localhost/knify/test-{ids.nonce()}:latest"

    async def scenario() -> None:
        podman = CountingApi(podman_url)
        store = imagestore.ImageStore(podman)
        before = await store.all()
        assert engine.IMAGE in [image.name for image in before]
        again = [await store.all() for _ in range(5)]
        assert before in again and podman.lists < 5  # other suites may tag something meanwhile

        subprocess.run(["podman", "tag", engine.IMAGE, tag], check=True)
        assert tag in [image.name for image in await store.all()]
        subprocess.run(["podman", "untag", engine.IMAGE, tag], check=True)
        assert tag not in [image.name for image in await store.all()]

    asyncio.run(scenario())


def test_a_missing_record_of_podman_costs_only_time(podman_url: str) -> None:
    class Elsewhere(CountingApi):
        async def call(self, method: str, path: str, **options: object) -> object:
            if path == "/info":
                return {"store": {"graphRoot": "/nowhere", "graphDriverName": "overlay"}}
            return await super().call(method, path, **options)

    async def scenario() -> None:
        podman = Elsewhere(podman_url)
        store = imagestore.ImageStore(podman)

        assert await store.all() == await store.all() != []
        assert podman.lists == 2

    asyncio.run(scenario())

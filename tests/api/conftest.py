from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import flask
import pytest

from api import app as app_module
from api import context
from knify import core as core_module
from knify import hints, settings
from knify.core import Core
from knify.services import keys
from tests.api.parts import Api, Worker


@pytest.fixture
def config(redis_url: str, tmp_path: Path) -> settings.Settings:
    found = settings.load({"KNIFY_HOME": str(tmp_path / "home"), "KNIFY_REDIS_URL": redis_url})
    return replace(found, max_body_bytes=64 * 1024, workspace_bytes=4 * 1024**2)


@pytest.fixture
def core(config: settings.Settings) -> Iterator[Core]:
    made = core_module.connect(config, hints.RecordedHints())
    yield made
    made.store.client.close()


@functools.cache
def shaped() -> flask.Flask:
    """Its routes are the same in all tests of a process; what it serves is each one's own."""
    return app_module.shaped()


@pytest.fixture
def app(core: Core) -> Iterator[flask.Flask]:
    made = app_module.equip(shaped(), core)
    yield made
    made.extensions[context.HUB].close()


@pytest.fixture
def api(app: flask.Flask, core: Core) -> Api:
    """A client with an admin key of the tenant `default`."""
    return Api(app.test_client(), keys.create(core, "default", scopes=("admin",)).text)


@pytest.fixture
def stranger(app: flask.Flask, core: Core) -> Api:
    """A client of another tenant."""
    return Api(app.test_client(), keys.create(core, "other", scopes=("admin",)).text)


@pytest.fixture
def worker(core: Core) -> Worker:
    return Worker(core)

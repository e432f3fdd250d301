from __future__ import annotations

import flask
import pytest

from api.console import assets
from knify.core import Core
from knify.services import keys
from tests.api.conftest import api, app, config, core, stranger, worker
from tests.console.parts import Pages

__all__ = ["api", "app", "config", "core", "stranger", "worker"]


@pytest.fixture(autouse=True)
def built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are rendered also where nothing was built."""
    if not assets.manifest():
        monkeypatch.setattr(assets, "manifest", lambda: {"console.css": "console.css"})


@pytest.fixture
def pages(app: flask.Flask, core: Core) -> Pages:
    """Signed in with an admin key of the tenant `default`."""
    found = Pages(app.test_client())
    found.sign_in(keys.create(core, "default", scopes=("admin",), name="first").text)
    return found


@pytest.fixture
def reader(app: flask.Flask, core: Core) -> Pages:
    """Signed in with a key that may only read."""
    found = Pages(app.test_client())
    found.sign_in(keys.create(core, "default", scopes=("read",)).text)
    return found


@pytest.fixture
def foreigner(app: flask.Flask, core: Core) -> Pages:
    """Signed in for another tenant."""
    found = Pages(app.test_client())
    found.sign_in(keys.create(core, "other", scopes=("admin",)).text)
    return found

"""`knify secrets` against a scripted server."""

from __future__ import annotations

import json

from tests.cli.conftest import Run
from tests.client import scripted

KEPT = {"name": "token", "created_at": "2026-01-31T10:00:00.000Z", "updated_at": None}


def test_a_value_comes_from_stdin_and_is_never_shown(server: scripted.Server, knify: Run) -> None:
    server.on("PUT", "/secrets/token", KEPT)

    done = knify("secrets", "set", "token", stdin="two lines\nof a value\n")

    assert done.stdout == "token is kept\n", (done.output, done.exception)
    assert json.loads(server.requests[-1].body) == {"value": "two lines\nof a value"}


def test_secrets_are_listed_and_deleted(server: scripted.Server, knify: Run) -> None:
    server.on("GET", "/secrets", [KEPT])
    server.on("DELETE", "/secrets/token", {"success": True})

    assert "token" in knify("secrets", "list").stdout
    assert json.loads(knify("secrets", "list", "--json").stdout) == [KEPT]
    assert knify("secrets", "delete", "token", "-y").stdout == "token is gone\n"

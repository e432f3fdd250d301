"""`knify keys` against a scripted server."""

from __future__ import annotations

import json
from typing import Any

from tests.cli.conftest import Run
from tests.client import scripted

KEY = {"id": "k", "name": "ci", "scopes": ["read"], "status": "active", "limit_per_hour": 5}


def test_a_key_is_created_as_the_options_say(server: scripted.Server, knify: Run) -> None:
    server.on("POST", "/keys", {"id": "k", "key": "knify_test_k_s"})

    words = "--name ci --scope read --tier enterprise --limit-per-hour 5 --expires-in 30d --test"
    made = knify("keys", "create", *words.split(), "--tenant", "acme")

    assert made.stdout == "knify_test_k_s\n"
    assert _body(server) == {
        "name": "ci", "scopes": ["read"], "tier": "enterprise", "limit_per_hour": 5,
        "expires_in": "30d", "mode": "test", "tenant": "acme",
    }  # fmt: skip


def test_a_key_is_shown_rotated_and_revoked(server: scripted.Server, knify: Run) -> None:
    server.on("GET", "/keys/k", KEY)
    server.on("GET", "/keys", [KEY])
    server.on("POST", "/keys/k/rotate", {"id": "k", "key": "knify_live_k_new"})
    server.on("DELETE", "/keys/k", {"success": True})

    assert "limit_per_hour  5" in " ".join(knify("keys", "show", "k").stdout.split(" "))
    assert "active" in knify("keys", "list", "--tenant", "acme").stdout
    assert server.requests[-1].query == {"tenant": "acme"}
    assert knify("keys", "rotate", "k", "--grace", "1h").stdout == "knify_live_k_new\n"
    assert _body(server) == {"grace": "1h"}
    assert knify("keys", "revoke", "k", "--force", "-y").stdout == "k is revoked\n"
    assert server.requests[-1].query == {"force": "true"}


def _body(server: scripted.Server) -> Any:
    return json.loads(server.requests[-1].body)

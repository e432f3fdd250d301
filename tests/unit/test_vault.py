"""HashiCorp Vault's protocol, on a server of ours that speaks it."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knify import errors, settings, vault
from knify.host import secretcheck

TOKEN = "hvs.token-of-the-operator"
KEPT = {
    "/v1/secret/data/knify/default/db/prod": {"password": "p4ssw0rd-of-prod", "port": 5432},
    "/v1/secret/data/knify/acme/db": {"password": "of another tenant"},
    "/v1/kv/data/shared": {"token": "for everybody"},
}


class Handler(http.server.BaseHTTPRequestHandler):
    """Key-value store, version 2."""

    seen: list[tuple[str, dict[str, str]]] = []
    odd: tuple[int, bytes] | None = None

    def do_GET(self) -> None:
        self.seen.append((self.path, dict(self.headers)))
        found = KEPT.get(self.path)
        status, content = 404, b'{"errors":[]}'
        if self.headers["X-Vault-Token"] != TOKEN:
            status, content = 403, b'{"errors":["permission denied"]}'
        elif self.path == "/v1/auth/token/lookup-self":
            status, content = 200, b"{}"
        elif found is not None:
            data = {"data": {"data": found, "metadata": {"version": 3}}}
            status, content = 200, json.dumps(data).encode()
        status, content = self.odd or (status, content)
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Handler, "seen", [])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def config(address: str, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    return {
        "KNIFY_HOME": str(tmp_path),
        "KNIFY_VAULT_ADDR": address,
        "KNIFY_VAULT_TOKEN_FILE": str(tmp_path / "token"),
    }


def test_a_field_is_read_from_the_tenants_own_part(config: dict[str, str]) -> None:
    config["KNIFY_VAULT_NAMESPACE"] = "team"

    found = vault.read(settings.load(config), "default", "db/prod", "password")

    assert found == "p4ssw0rd-of-prod"
    path, headers = Handler.seen[0]
    assert path == "/v1/secret/data/knify/default/db/prod"
    assert headers["X-Vault-Namespace"] == "team"


def test_no_tenant_reaches_what_another_one_has_in_vault(config: dict[str, str]) -> None:
    for path in ("db", "acme/db", "%2e%2e/acme/db", "db?version=1"):
        with pytest.raises(ValueError, match="that Knify may read"):
            vault.read(settings.load(config), "default", path, "password")
    for path in ("../acme/db", "x/../../acme/db", "./db", "/db", ""):
        with pytest.raises(ValueError, match="no dots alone"):
            vault.read(settings.load(config), "default", path, "password")
    assert all(path.startswith("/v1/secret/data/knify/default/") for path, _ in Handler.seen)


def test_mount_and_prefix_are_the_operators(config: dict[str, str]) -> None:
    config |= {"KNIFY_VAULT_MOUNT": "kv", "KNIFY_VAULT_PREFIX": ""}

    assert vault.read(settings.load(config), "default", "shared", "token") == "for everybody"


@pytest.mark.parametrize("field", ["none", "port"])
def test_a_field_that_is_no_text_is_named(config: dict[str, str], field: str) -> None:
    with pytest.raises(ValueError, match=f"no field {field} that is a text"):
        vault.read(settings.load(config), "default", "db/prod", field)


@pytest.mark.parametrize(
    "odd",
    [(503, b"sealed"), (429, b""), (302, b""), (200, b"x" * 1_100_000), (200, b"[]"), (200, b"{")],
)
def test_what_is_no_answer_is_tried_again_later(
    config: dict[str, str], monkeypatch: pytest.MonkeyPatch, odd: tuple[int, bytes]
) -> None:
    monkeypatch.setattr(Handler, "odd", odd)

    with pytest.raises(errors.SecretsAway):
        vault.read(settings.load(config), "default", "db/prod", "password")


def test_a_vault_that_is_away_is_said_without_what_was_sent(config: dict[str, str]) -> None:
    config["KNIFY_VAULT_ADDR"] = "http://127.0.0.1:1"

    with pytest.raises(errors.SecretsAway, match="ConnectError") as away:
        vault.read(settings.load(config), "default", "db/prod", "password")

    assert TOKEN not in str(away.value)
    assert "ConnectError" in (vault.problem(settings.load(config)) or "")


def test_a_wrong_token_is_told_as_nothing_to_read(config: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("another")

    with pytest.raises(ValueError, match="that Knify may read"):
        vault.read(settings.load(config), "default", "db/prod", "password")
    assert vault.problem(settings.load(config)) == (
        "Vault answered 403 when it was asked for our token"
    )


def test_what_the_operator_did_not_set_is_named(config: dict[str, str], tmp_path: Path) -> None:
    without = {key: value for key, value in config.items() if "TOKEN" not in key}

    with pytest.raises(ValueError, match="KNIFY_VAULT_TOKEN_FILE"):
        vault.read(settings.load(without), "default", "db/prod", "password")
    with pytest.raises(ValueError, match="KNIFY_VAULT_ADDR"):
        vault.read(settings.load({"KNIFY_HOME": str(tmp_path)}), "default", "a", "b")
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ValueError, match="holds none"):
        vault.read(settings.load(config), "default", "db/prod", "password")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ADDR", "ftp://x"),
        ("MOUNT", "a/../b"),
        ("PREFIX", "a//b"),
        ("PREFIX", "{other}"),
        ("PREFIX", "a?b"),
    ],
)
def test_a_wrong_setting_stops_the_start(config: dict[str, str], name: str, value: str) -> None:
    with pytest.raises(errors.ConfigError, match=f"VAULT_{name}"):
        settings.load(config | {f"KNIFY_VAULT_{name}": value})


def test_the_doctor_looks_whether_what_is_offered_is_there(
    config: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_TOKEN", "x")
    config |= {"KNIFY_SECRET_ENV": "TEAM_TOKEN", "KNIFY_SECRET_DIR": str(tmp_path / "secrets")}

    def seen(**more: str) -> tuple[str, str]:
        found = secretcheck.check(settings.load(config | more))
        return found.level, found.message

    assert seen()[0] == "failure"
    (tmp_path / "secrets").mkdir(mode=0o755)
    assert seen()[0] == "warning"
    (tmp_path / "secrets").chmod(0o700)
    assert seen() == (
        "ok",
        "jobs may name 1 variable, files, Vault, what their tenant keeps here",
    )
    assert seen(KNIFY_SECRET_ENV="TEAM_TOKEN,GONE")[0] == "warning"
    (tmp_path / "token").write_text("another")
    assert seen() == ("failure", "Vault answered 403 when it was asked for our token")

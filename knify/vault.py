"""HashiCorp Vault's key-value store, version 2: one field of one path (developer.hashicorp.com).

Which path is the tenants' own is the operator's choice (`KNIFY_VAULT_PREFIX`): Knify's token may
read more than any of them.
"""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx

from knify import errors
from knify.settings import Settings

SECONDS: Final = 5.0  # for each step of a request
TENANT: Final = "{tenant}"  # in the prefix
_MOST: Final = 1024**2  # bytes of an answer


def read(settings: Settings, tenant: str, path: str, field: str) -> str:
    """The field's text. ValueError, with what is wrong, in words that quote no answer.

    SecretsAway when Vault does not answer or cannot now.
    """
    if settings.vault_addr is None:
        raise ValueError("the operator has set no Vault (KNIFY_VAULT_ADDR): name one that is kept")
    if {"", ".", ".."} & set(
        path.split("/")
    ):  # a client would take them out, and tenants with them
        raise ValueError("a path in Vault has no empty parts and no dots alone")
    prefix = settings.vault_prefix.replace(TENANT, tenant).strip("/")
    full = f"{prefix}/{path}" if prefix else path
    status, content = _get(settings, f"/v1/{settings.vault_mount}/data/{quote(full)}")
    if status in (400, 403, 404):
        raise ValueError(f"Vault has no {full} in {settings.vault_mount} that Knify may read")
    if status != 200:
        raise errors.SecretsAway(f"Vault answered {status}")
    found = _fields(content).get(field)
    if not isinstance(found, str):
        raise ValueError(f"{full} in Vault has no field {field} that is a text")
    return found


def problem(settings: Settings) -> str | None:
    """What is wrong with it, for the doctor; None: it answers and takes our token."""
    try:
        status, _ = _get(settings, "/v1/auth/token/lookup-self")
    except (errors.SecretsAway, ValueError) as failed:
        return str(failed)
    return None if status == 200 else f"Vault answered {status} when it was asked for our token"


def _get(settings: Settings, path: str) -> tuple[int, bytes]:
    assert settings.vault_addr is not None
    headers = {"X-Vault-Token": _token(settings.vault_token_file), "X-Vault-Request": "true"}
    if settings.vault_namespace:
        headers["X-Vault-Namespace"] = settings.vault_namespace
    try:
        with (
            httpx.Client(timeout=SECONDS, verify=_verify(settings), trust_env=False) as client,
            client.stream("GET", settings.vault_addr + path, headers=headers) as answer,
        ):
            return answer.status_code, _bounded(answer)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as failed:
        # Only its kind: a message may quote what was sent.
        raise errors.SecretsAway(f"Vault does not answer: {type(failed).__name__}") from None


def _token(file: Path | None) -> str:
    if file is None:
        raise ValueError("the operator has set no token for Vault (KNIFY_VAULT_TOKEN_FILE)")
    try:
        token = file.read_text().strip()  # each time: agents of Vault's renew it there
    except (OSError, UnicodeDecodeError) as failed:
        kind = type(failed).__name__
        raise errors.SecretsAway(f"the file with Vault's token cannot be read: {kind}") from None
    if not token.isascii() or not token.isprintable() or not token:
        raise ValueError("the file with Vault's token holds none")
    return token


def _verify(settings: Settings) -> ssl.SSLContext | bool:
    if settings.vault_ca is None:
        return True
    return ssl.create_default_context(cafile=str(settings.vault_ca))


def _bounded(answer: httpx.Response) -> bytes:
    content = b""
    for piece in answer.iter_bytes():
        content += piece
        if len(content) > _MOST:
            raise errors.SecretsAway("Vault's answer is too long")
    return content


def _fields(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)["data"]["data"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise errors.SecretsAway("Vault's answer is none of its key-value store") from None
    return found if isinstance(found, dict) else {}

"""The models' vendors: where they are, how they take a key, and which requests are passed on.

Only what asks a model, and a few questions about models, is passed on: with the same key one could
read files, start batches, or manage the account.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from knify import settings as settings_module
from knify.agents import models
from knify.gateway import line as lines
from knify.gateway import passing

#: What agents' programs tell of themselves and of the call. Nothing else of a sandbox is sent on:
#: keys, whose account is meant, how the body is to be read, where a router is to send it.
_PASSED: Final = frozenset(
    b"accept accept-language user-agent idempotency-key x-client-request-id x-app "
    b"anthropic-version anthropic-beta anthropic-dangerous-direct-browser-access "
    b"x-claude-code-session-id openai-beta originator version session_id session-id "
    b"conversation_id thread_id x-goog-api-client".split()
)
_PASSED_TOO: Final = (b"x-stainless-", b"x-codex-")
_HIDDEN: Final = frozenset(
    b"set-cookie anthropic-organization-id openai-organization openai-project alt-svc "
    b" strict-transport-security".split()
)
_QUERY: Final = re.compile(r"[A-Za-z0-9_.=&%-]{0,500}")
#: What may be asked by query; all else is left out. Google's would take keys and `fields`, too.
_ASKED: Final = {
    "anthropic": re.compile(r"beta=true|(?:limit|after_id|before_id)=[A-Za-z0-9_.-]*"),
    "google": re.compile(r"alt=(?:sse|json)|pageSize=[0-9]+|pageToken=[A-Za-z0-9_.=%-]*"),
    "openai": re.compile(r"api-version=[A-Za-z0-9.-]*"),
}


@dataclass(frozen=True, slots=True)
class Vendor:
    """One of them, as this node reaches it."""

    name: str
    base: str  # without a slash at its end
    key: str | None = field(repr=False)  # None: none is configured
    is_standard: bool = True  # its base is the vendor's own

    @property
    def is_configured(self) -> bool:
        """Whether calls can be passed on. Whoever sets up a server of his own may need no key."""
        return self.key is not None or not self.is_standard

    def headers(self, given: lines.Headers) -> dict[str, str]:
        """A sandbox's headers as they are sent on."""
        rows = lines.passed_on(given, frozenset())
        kept = [row for row in rows if row[0] in _PASSED or row[0].startswith(_PASSED_TOO)]
        found = {name.decode("latin-1"): value.decode("latin-1") for name, value in kept}
        found["content-type"] = "application/json"  # as it was read here
        found["accept-encoding"] = "identity"  # what was used is read in passing
        if self.key is not None:
            name, form = _SIGNED[self.name]
            found[name] = form.format(self.key)
        return found

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no answer may show."""
        return (self.key,) if self.key else ()

    def shown(self, headers: Any) -> lines.Headers:
        """An answer's headers as a sandbox may see them; `headers`: pairs of bytes."""
        return passing.shown(headers, _HIDDEN, self.secrets)


@dataclass(frozen=True, slots=True)
class Route:
    """A request that may be passed on."""

    vendor: Vendor
    url: str
    is_call: bool  # it asks a model, which costs
    model: str | None = None  # where the path names it


#: Header and form of the key.
_SIGNED: Final = {
    "anthropic": ("x-api-key", "{}"),
    "google": ("x-goog-api-key", "{}"),
    "openai": ("authorization", "Bearer {}"),
}
_WORD: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}"
#: Method and path behind the gateway's own; True: it asks a model.
_ROUTES: Final[dict[str, tuple[tuple[str, str, bool], ...]]] = {
    "anthropic": (
        ("POST", r"/v1/messages", True),
        ("POST", r"/v1/messages/count_tokens", False),
        ("GET", rf"/v1/models(?:/{_WORD})?", False),
    ),
    "google": (
        ("POST", rf"/v1(?:beta|alpha)?/models/({_WORD}):(?:stream)?[gG]enerateContent", True),
        ("POST", rf"/v1(?:beta|alpha)?/models/({_WORD}):countTokens", False),
        ("GET", rf"/v1(?:beta|alpha)?/models(?:/{_WORD})?", False),
    ),
    "openai": (
        ("POST", r"/responses", True),
        ("POST", r"/chat/completions", True),
        ("GET", rf"/models(?:/{_WORD})?", False),
    ),
}


class Vendors:
    """All that this node may pass calls on to."""

    def __init__(self, settings: settings_module.Settings, environ: Mapping[str, str]) -> None:
        """Keys stand in `environ` and nowhere else."""
        standard = {
            "anthropic": (settings.anthropic_base_url, "https://api.anthropic.com"),
            "google": (settings.gemini_base_url, "https://generativelanguage.googleapis.com"),
            "openai": (settings.openai_base_url, "https://api.openai.com/v1"),
        }
        self._by_name = {
            name: Vendor(
                name,
                base,
                environ.get(models.PROVIDERS[name].key, "").strip() or None,
                base == usual,
            )
            for name, (base, usual) in standard.items()
        }

    def configured(self) -> list[str]:
        """The names of those that can be asked."""
        return sorted(name for name, vendor in self._by_name.items() if vendor.is_configured)

    def of(self, target: str) -> Vendor | None:
        """Whose part of the gateway a path lies in."""
        for name, provider in models.PROVIDERS.items():
            if target.startswith(f"{provider.path}/"):
                return self._by_name[name]
        return None


def route(vendor: Vendor, method: str, target: str) -> Route | None:
    """What a request of a sandbox means; None: nothing that is passed on."""
    path, _, query = target.removeprefix(models.PROVIDERS[vendor.name].path).partition("?")
    if not _QUERY.fullmatch(query):
        return None
    for wanted, pattern, is_call in _ROUTES[vendor.name]:
        found = re.fullmatch(pattern, path)
        if found is not None and wanted == method:
            kept = "&".join(filter(_ASKED[vendor.name].fullmatch, query.split("&")))
            url = f"{vendor.base}{path}" + (f"?{kept}" if kept else "")
            return Route(vendor, url, is_call, found[1] if found.groups() else None)
    return None


def complaint(vendor: str, status: int, kind: str, message: str) -> str:
    """An error of ours in the vendor's own form."""
    if vendor == "google":
        found: dict[str, Any] = {"error": {"code": status, "message": message, "status": kind}}
    elif vendor == "openai":
        found = {"error": {"message": message, "type": kind, "param": None, "code": kind}}
    else:
        found = {"type": "error", "error": {"type": kind, "message": message}}
    return json.dumps(found)

"""Where the server is and which key opens it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from knify import errors

DEFAULT_URL = f"http://127.0.0.1:{os.environ.get('KNIFY_PORT') or 8122}"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Access:
    """A server and the key for it."""

    url: str  # without a slash at its end
    api_key: str | None = field(default=None, repr=False)
    loopback: bool = False  # then no proxy of the environment stands in between
    sought: tuple[str, ...] = field(default=(), compare=False)  # where a key was looked for


def resolve(
    url: str | None = None, api_key: str | None = None, environ: Mapping[str, str] | None = None
) -> Access:
    """From the arguments, else the environment, else this machine's own installation.

    The admin key's file is read only for a server on loopback or when `KNIFY_HOME` names it:
    a key that somebody keeps for his own server must not go to any other by accident.
    """
    known = os.environ if environ is None else environ
    address = (url or known.get("KNIFY_URL") or DEFAULT_URL).rstrip("/")
    loopback = _host(address) in _LOOPBACK
    key = api_key or known.get("KNIFY_API_KEY")
    sought = [f"KNIFY_API_KEY is {'' if known.get('KNIFY_API_KEY') else 'not '}set"]
    if not key and (loopback or known.get("KNIFY_HOME")):
        home = Path(known.get("KNIFY_HOME") or "~/.knify").expanduser()
        key, found = _admin_key(home)
        sought.append(f"{home / 'admin.key'} {found}")
    if key and not (key.isascii() and key.isprintable()):
        raise errors.ConfigError("KNIFY_API_KEY holds characters that no key has")
    return Access(address, key or None, loopback, tuple(sought))


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise errors.ConfigError(f"KNIFY_URL must look like {DEFAULT_URL}, not {url!r}")
    return host


def _admin_key(home: Path) -> tuple[str | None, str]:
    """The key, and in words whether there was one."""
    try:
        return (home / "admin.key").read_text().strip(), "was used"
    except FileNotFoundError:
        return None, "does not exist"
    except (OSError, UnicodeDecodeError) as failed:
        return None, f"cannot be read ({getattr(failed, 'strerror', None) or 'no text'})"

"""`BROWSERLESS_URL`: where the operator's browser is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from knify import errors, kinds
from knify.gateway import addresses


@dataclass(frozen=True, slots=True)
class Remote:
    """Where the browser is."""

    is_tls: bool
    is_socket: bool  # the address is a browser's WebSocket; else it has to be asked for one
    host: str
    port: int
    path: str = field(repr=False)  # without a slash at its end; some have their token there
    query: str = field(repr=False)  # "" or with its token
    login: str | None = field(repr=False)  # a value of `authorization`

    @property
    def named(self) -> str:
        """As the header `host` has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def target(self, path: str) -> str:
        """As it is requested there."""
        return f"{path or '/'}{f'?{self.query}' if self.query else ''}"


def load(environ: Mapping[str, str]) -> Remote | None:
    """What `BROWSERLESS_URL` says; ConfigError, which never shows it."""
    text = environ.get(kinds.BROWSER_URL, "").strip()
    if not text:
        return None
    try:
        text.encode("ascii")
        found = addresses.parse(text, "ws", "wss", "http", "https")
    except ValueError:
        form = "ws, wss, http or https://HOST[:PORT][/PATH][?token=TOKEN]"
        raise errors.ConfigError(f"{kinds.BROWSER_URL} is not {form}") from None
    is_tls = found.scheme in ("wss", "https")
    return Remote(
        is_tls=is_tls,
        is_socket=found.scheme in ("ws", "wss"),
        host=found.host,
        port=found.port or (443 if is_tls else 80),
        path=found.path.rstrip("/"),
        query=found.query,
        login=f"Basic {found.basic}" if found.user or found.password else None,
    )

"""URLs by which the operator says where something is and how to log in there."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Address:
    """One of them, taken apart; what may be secret shows in no `repr`."""

    scheme: str
    host: str
    port: int | None  # None: the scheme's own
    path: str = field(repr=False)  # as it was written
    query: str = field(repr=False)
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The login as HTTP's header has it, behind `Basic `."""
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def parse(text: Any, *schemes: str) -> Address:
    """ValueError for what is none of these schemes' with a host, whose words hold nothing of it."""
    try:
        parts = urlsplit(text if isinstance(text, str) else "")
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError:
        raise ValueError("no URL") from None
    if parts.scheme not in schemes or not host or port == 0:
        raise ValueError("no URL of this kind")
    return Address(
        parts.scheme,
        host,
        port,
        parts.path,
        parts.query,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )

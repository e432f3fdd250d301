"""Where a browser's page came from, as the header `Origin` says."""

from __future__ import annotations

from urllib.parse import urlsplit


def place(origin: str) -> str:
    """Its host and port; empty for `null`, and for what is no origin."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""

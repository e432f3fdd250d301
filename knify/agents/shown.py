"""Reports in Markdown of what others wrote: text is shown as text. It runs in sandboxes, too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&])")


def plain(value: Any) -> str:
    """One line that Markdown and HTML show as it is."""
    shown = " ".join(str(value).split())
    return _SPECIAL.sub(r"\\\1", "".join(c if c.isprintable() else "\ufffd" for c in shown))


def write(path: Path, text: str) -> None:
    """Into a new file: what a workspace has under that name may be a link to elsewhere."""
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8", errors="replace")

"""Secrets of the operator's that a file holds instead of a variable: `NAME_FILE` says where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from knify import errors

#: Whose files are looked for.
SECRETS: Final = (
    *("KNIFY_REDIS_PASSWORD", "KNIFY_METRICS_TOKEN", "KNIFY_FLOWER_PASSWORD"),
    *("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY", "CURSOR_API_KEY"),
    *("BROWSERLESS_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
)


def read(environ: Mapping[str, str]) -> dict[str, str]:
    """What the files hold that `NAME_FILE` of `SECRETS` names; an empty one says nothing.

    ConfigError when one cannot be read, or the variable is there as well.
    """
    found = {}
    for name in SECRETS:
        place = environ.get(f"{name}_FILE", "")
        if not place:
            continue
        try:
            text = Path(place).read_text().strip()
        except (OSError, UnicodeError) as failed:
            raise errors.ConfigError(f"{name}_FILE cannot be read: {failed}") from failed
        if environ.get(name, "") not in ("", text):  # what an earlier call read is no other
            raise errors.ConfigError(f"{name} and {name}_FILE are both set: keep one of them")
        if text:
            found[name] = text
    return found

"""Agents that print one JSON object a line: reading those, and what they share in their end.

Everything that an agent prints is hostile: any type, size and depth, and texts that are no UTF-8.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from knify import model
from knify.agents import base

LINE = 4 * 1024**2  # bytes of a line that is still read
MESSAGE = 32_000  # characters of one message or result that are kept
_PARAMETER = 16_000  # characters of one text among a tool's parameters
_ITEMS, _DEPTH = 100, 6  # of lists and objects that are shown
_FILES = 500  # files that are remembered as told
_NAMES = 16_000  # characters of their names
_STDERR = 2_000  # characters of its end that an error quotes
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
_CAMEL = re.compile(r"(?<=[a-z0-9])[A-Z]")
_KINDS = (
    ("AGENT_AUTH", r"unauthori[sz]ed|authenticat|api key|not logged in|\b40[13]\b"),
    ("AGENT_RATE_LIMITED", r"rate.?limit|too many requests|usage limit|quota|\b429\b"),
    (
        "AGENT_SESSION_NOT_FOUND",
        r"(chat|session|conversation)[^.]{0,80}not (be )?found|no such chat"
        r"|no (conversation|rollout) found|invalid session",
    ),
    (
        "AGENT_UPSTREAM",
        r"overloaded|high demand|bad gateway|unavailable|connect|network|\b5\d\d\b"
        r"|\bterminated\b|incomplete json|malformed response",
    ),
)

TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
"""A conversation's id that may stand in a command line."""


def read(line: str) -> dict[str, Any] | None:
    """The object on a line; None when there is none."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def text(value: Any, most: int = MESSAGE) -> str:
    """A text of at most `most` characters, encodable as UTF-8; empty for anything else."""
    if not isinstance(value, str):
        return ""
    kept: str = value if len(value) <= most else value[: most - 1] + "…"
    return kept.encode("utf-8", "replace").decode()


def shown(value: Any, depth: int = _DEPTH) -> Any:
    """A value as an event shows it: what is long or deep is cut."""
    if isinstance(value, str):
        return text(value, _PARAMETER)
    if isinstance(value, bool | float) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)[:40]
    if depth == 0:
        return "…"
    if isinstance(value, dict):
        pairs = list(value.items())[:_ITEMS]
        return {text(name, 200): shown(item, depth - 1) for name, item in pairs}
    return [shown(item, depth - 1) for item in value[:_ITEMS]]


def as_json(value: Any) -> str:
    """A value that was `shown`, in one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def said_by(message: Any) -> str:
    """All texts of a message's content, one after the other."""
    content = message.get("content") if isinstance(message, dict) else None
    parts = content if isinstance(content, list) else []
    return text("".join(text(part.get("text")) for part in parts if isinstance(part, dict)))


def usage(value: Any) -> dict[str, int] | None:
    """Counts of tokens under our names: `inputTokens` is `input_tokens`."""
    if not isinstance(value, dict):
        return None
    counts = {
        _CAMEL.sub(lambda m: "_" + m[0].lower(), name)[:40]: number
        for name, number in list(value.items())[:20]
        if type(number) is int and 0 <= number < 2**53 and name.isascii()
    }
    return counts or None


def tokens(into: Any, out: Any, cached: Any) -> dict[str, int] | None:
    """What a turn took, under the names that all agents' jobs show."""
    counts = {"input_tokens": into, "cached_tokens": cached, "output_tokens": out}
    known = {n: v for n, v in counts.items() if type(v) is int and 0 <= v < 2**53}
    return known or None


def status(code: Any) -> str:
    """What an HTTP status says about why a model could not be asked; None: no answer at all."""
    if code in (401, 403):
        return "AGENT_AUTH"
    if code == 429:
        return "AGENT_RATE_LIMITED"
    is_theirs = code is None or (type(code) is int and (code >= 500 or code == 408))
    return "AGENT_UPSTREAM" if is_theirs else "AGENT_FAILED"


def below_workspace(path: str) -> str | None:
    """A path as artifacts have it; None when it is outside the workspace."""
    path = path.removeprefix(base.WORKSPACE + "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or path.startswith("/"):
        return None
    return "/".join(parts)


def with_file(said: model.Said, path: str) -> model.Said:
    """The same with one more created file."""
    most = len(said.files) >= _FILES or sum(map(len, said.files)) + len(path) > _NAMES
    if path in said.files or most:
        return said
    return said.evolve(files=(*said.files, path))


def kind(words: str, otherwise: str = "AGENT_FAILED") -> str:
    """What an agent's own words say about why it failed."""
    for code, pattern in _KINDS:
        if re.search(pattern, words, re.IGNORECASE):
            return code
    return otherwise


class Tail:
    """The last lines of an agent's stderr, for the case that nothing else tells why it failed."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        """One more line; old ones go."""
        self._lines.append(_ESCAPES.sub("", line[:_STDERR]).rstrip())
        del self._lines[:-20]

    def __str__(self) -> str:
        """What is left of it, empty lines apart."""
        return "\n".join(line for line in self._lines if line)[-_STDERR:].strip()

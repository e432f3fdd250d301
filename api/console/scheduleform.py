"""The form of a schedule: from what it shows to a body of the Projects API, and back.

It leaves alone what a definition has and the form does not show.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Mapping
from typing import Any, Final

from api.console import shown
from knify import errors, kinds
from knify.definitions import Definition

PROJECT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
#: Job types that it makes; others are only changed by it.
TYPES: Final = tuple(name for name in shown.TYPES if name != "user_exam")
_SPEC_TEXTS: Final = ("prompt", "image", "model", "workspace_path", "timeout", "memory", "disk")
_NUMBERS: Final = ("starting_deadline_seconds", "retries", "retry_backoff_seconds")
_CHOICES: Final = ("concurrency_policy", "catch_up")
FIELDS: Final = (
    *("name", "project", "schedule", "timezone", "job_type", "command", "env", "cpus", "tags"),
    *_SPEC_TEXTS, *_NUMBERS, *_CHOICES, "suspended",
)  # fmt: skip
_NAMED: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FRESH: Final = Definition(id="", tenant="", project="", name="", request={})


class Wrong(Exception):
    """What is wrong, by the form's fields; the empty name is for the form as a whole."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(str(problems))
        self.problems = dict(problems)


def texts(d: Definition | None, *, project: str = "") -> dict[str, str]:
    """What the form shows of a definition, or of none."""
    one = d or _FRESH
    found = {name: _text(one.request.get(name)) for name in (*_SPEC_TEXTS, "cpus")}
    found |= {name: _text(getattr(one, name)) for name in (*_NUMBERS, *_CHOICES)}
    command = one.request.get("command", "")
    return found | {
        "name": one.name,
        "project": one.project or project,
        "schedule": (one.schedule or "") if d else "0 4 * * *",
        "timezone": one.timezone,
        "job_type": one.request.get("job_type", "command_task"),
        "command": command if isinstance(command, str) else shlex.join(command),
        "env": env_text(one.request.get("env", {})),
        "tags": ", ".join(one.tags),
        "suspended": "true" if one.suspended else "",
    }


def body(sent: Mapping[str, str], before: Definition | None) -> dict[str, Any]:
    """The body that the form asks for. Wrong for what cannot be one."""
    problems: dict[str, str] = {}
    request = dict(before.request) if before else {}
    request["job_type"] = sent["job_type"] or "command_task"
    _set(request, "command", _command(sent["command"], request.get("command")))
    for name in _SPEC_TEXTS:
        if sent[name] != _text(request.get(name)):
            _set(request, name, sent[name])
    _set(request, "cpus", _number(sent, "cpus", problems, float))
    try:
        _set(request, "env", env(sent["env"]))
    except ValueError as wrong:
        problems["env"] = str(wrong)
    known = kinds.JOB_TYPES.get(request["job_type"])
    if known:  # what only another type has is left behind with it
        request = {name: value for name, value in request.items() if name in known.fields}
    found: dict[str, Any] = {
        "name": sent["name"].strip(),
        "spec": request,
        "schedule": sent["schedule"].strip() or None,
        "timezone": sent["timezone"].strip() or None,
        "suspended": sent["suspended"] == "true",
        "tags": [tag for tag in re.split(r"[\s,]+", sent["tags"]) if tag],
    }
    found |= {name: _number(sent, name, problems, int) for name in _NUMBERS}
    found |= {name: sent[name] or None for name in _CHOICES}
    if not found["name"]:
        problems["name"] = "Call it something."
    if before is None and not PROJECT.fullmatch(sent["project"]):
        problems["project"] = "1 to 100 letters, digits and ._- only, the first a letter or digit."
    if problems:
        raise Wrong(problems)
    return found


def read(form: Mapping[str, str]) -> dict[str, str]:
    """The texts as they were sent; lines end as they do in commands."""
    return {name: form.get(name, "").replace("\r\n", "\n") for name in FIELDS}


def problems(failed: errors.KnifyError, known: tuple[str, ...] = FIELDS) -> dict[str, str]:
    """A complaint of the services at the fields of the form that it is about."""
    detail = failed.detail if isinstance(failed.detail, dict) else {}
    told = detail.get("problems") or [{"field": detail.get("field", ""), "message": failed.message}]
    found: dict[str, str] = {}
    for one in told:
        path = str(one["field"]).removeprefix("spec.")
        name, _, rest = path.partition(".")
        message = str(one["message"])
        if name not in known:
            found.setdefault("", f"{path}: {message}" if detail.get("problems") else message)
        else:
            prefix = f"{rest}: " if rest and detail.get("problems") else ""
            found.setdefault(name, prefix + message)
    return found


def env(text: str) -> dict[str, str]:
    """Variables from lines `NAME=value`; a value in double quotes is one of JSON. ValueError."""
    found: dict[str, str] = {}
    for n, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        name, sign, value = line.partition("=")
        if not sign or not _NAMED.fullmatch(name.strip()):
            raise ValueError(f"Line {n}: write NAME=value.")
        if name.strip() in found:
            raise ValueError(f"Line {n}: {name.strip()} stands there twice.")
        found[name.strip()] = _value(value, n)
    return found


def env_text(values: Mapping[str, Any]) -> str:
    """The same the other way round."""
    return "\n".join(f"{name}={_quoted(str(value))}" for name, value in values.items())


def _value(text: str, n: int) -> str:
    if not text.startswith('"'):
        return text.strip()
    try:
        found = json.loads(text)
    except ValueError as wrong:
        raise ValueError(f"Line {n}: the quotes do not fit, or hold no text of JSON.") from wrong
    if not isinstance(found, str):
        raise ValueError(f"Line {n}: write one text within the quotes.")
    return found


def _quoted(value: str) -> str:
    is_plain = value == value.strip() and value.isprintable() and not value.startswith('"')
    return value if is_plain else json.dumps(value)


def _command(text: str, before: Any) -> Any:
    """A list that nobody has changed stays one."""
    if isinstance(before, list) and shlex.join(before) == text:
        return before
    return text if text.strip() else None


def _set(request: dict[str, Any], name: str, value: Any) -> None:
    if value in (None, "", {}):
        request.pop(name, None)
    else:
        request[name] = value


def _number(
    sent: Mapping[str, str], name: str, problems: dict[str, str], kind: type[int] | type[float]
) -> int | float | None:
    text = sent[name].strip()
    if not text:
        return None
    try:
        if len(text) > 20 or not text.isascii():
            raise ValueError
        value = kind(text)
        if not math.isfinite(value):
            raise ValueError
        return int(value) if value == int(value) else value
    except ValueError:
        problems[name] = f"Write {'a whole number' if kind is int else 'a number'}."
        return None


def _text(value: Any) -> str:
    return "" if value is None else str(value)

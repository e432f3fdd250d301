"""`sources.yaml`: which sources there are, in the workspace or from the operator.

    sources:
      orders:
        kind: csv               # csv, parquet, ndjson, sqlite, http, postgres
        path: exports/orders-*.csv
        user: customer_id       # the column of the user's id
        time: created_at        # the column of the time
        unit: auto              # of times that are numbers: s, ms, us; auto goes by their size
        label: status           # a column whose values are counted
      logins:
        kind: sqlite
        path: app.db
        table: logins
        user: user_id
        time: at

A source that is declared wrongly becomes one that cannot be read, and says why.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any

from knify import errors
from knify.agents.exam import source

NAMES = ("sources.yaml", "sources.yml")
MAX_BYTES = 64 * 1024
MAX_SOURCES = 50
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MAX_TEXT = 1_000
#: What a kind needs besides user and time, and what it may have.
_KINDS: dict[str, tuple[set[str], set[str]]] = {
    "csv": ({"path"}, set()),
    "parquet": ({"path"}, set()),
    "ndjson": ({"path"}, set()),
    "sqlite": ({"path", "table"}, set()),
    "http": ({"url"}, {"items"}),
    "postgres": ({"connection", "table"}, set()),
}
_ALWAYS, _OPTIONAL = {"kind", "user", "time"}, {"unit", "label"}
_KNOWN = {field.name for field in fields(source.Source)} - {"name"}


@dataclass(frozen=True, slots=True)
class File:
    """One file of declarations."""

    where: str  # for messages
    data: bytes


def sources(*files: File) -> list[dict[str, Any]]:
    """All sources, the first file's name winning; those with `problem` cannot be read.

    BadRequest when a file is no list of sources at all.
    """
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        for name, body in _table(file).items():
            shown = name if isinstance(name, str) else str(name)
            if shown in found:
                found[shown] |= {"problem": f"it is declared twice, again in {file.where}"}
            else:
                found[shown] = _source(shown, body)
    if len(found) > MAX_SOURCES:
        raise errors.BadRequest(f"more than {MAX_SOURCES} sources are declared: use fewer jobs")
    return list(found.values())


def _table(file: File) -> dict[Any, Any]:
    from ruamel.yaml import YAML  # late: few jobs need it
    from ruamel.yaml.error import YAMLError

    if len(file.data) > MAX_BYTES:
        raise errors.BadRequest(f"{file.where} is larger than {MAX_BYTES // 1024} KiB")
    try:
        # Aliases make much of little; the events tell of them before anything is made.
        if any(
            getattr(event, "anchor", None) for event in YAML(typ="safe", pure=True).parse(file.data)
        ):
            raise errors.BadRequest(f"{file.where} uses anchors (&, *): write it out")
        found = YAML(typ="safe", pure=True).load(file.data)
    except (YAMLError, ValueError, TypeError, RecursionError) as failed:
        why = " ".join(str(failed).split())[:200]
        raise errors.BadRequest(f"{file.where} is not valid YAML: {why}") from None
    table = found.get("sources") if isinstance(found, dict) else None
    if not isinstance(table, dict) or not table:
        raise errors.BadRequest(f"{file.where} declares nothing: it needs a table `sources`")
    return table


def _source(name: str, body: Any) -> dict[str, Any]:
    kind = body.get("kind") if isinstance(body, dict) else None
    shown = kind if isinstance(kind, str) and kind in _KINDS else "unknown"
    if not _NAME.fullmatch(name):
        safe = re.sub(r"[^A-Za-z0-9_.-]", "_", name[:60])
        return _broken(f"_{safe}", shown, "its name may have letters, digits and _.- only")
    try:
        checked = _checked(body)
    except ValueError as wrong:
        return _broken(name, shown, str(wrong))
    return {"name": name, **checked}


def _checked(body: Any) -> dict[str, Any]:
    """The fields of a source. ValueError says what is wrong with them."""
    if not isinstance(body, dict):
        raise ValueError("it must be a table of fields")
    kind = body.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(_KINDS)}")
    needed, more = _KINDS[kind]
    for name in sorted(needed | _ALWAYS):
        if body.get(name) in (None, ""):
            raise ValueError(f"{kind} needs {name}")
    for name, value in body.items():
        if name not in needed | more | _ALWAYS | _OPTIONAL:
            raise ValueError(f"{str(name)[:40]} does not belong to {kind}")
        if not isinstance(value, str) or len(value) > _MAX_TEXT or "\0" in value:
            raise ValueError(f"{name} must be a text of at most {_MAX_TEXT} characters")
    if body.get("unit", "auto") not in ("auto", "s", "ms", "us"):
        raise ValueError("unit must be auto, s, ms or us")
    return {str(name): value for name, value in body.items() if name in _KNOWN}


def _broken(name: str, kind: str, problem: str) -> dict[str, Any]:
    return {"name": name, "kind": kind, "problem": problem}

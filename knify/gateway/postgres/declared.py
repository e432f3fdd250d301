"""`KNIFY_DATABASES_FILE`: which databases there are, and how to sign in to them.

crm: postgresql://reader:PASSWORD@db.example:5432/crm
shop:
  url: postgresql://reader:PASSWORD@10.0.0.5/shop?sslmode=disable
  tenants: [default]     # whose jobs may ask it; without this line everybody's
  connections: 10        # of all jobs of a node at one time
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from knify import errors, tables
from knify.gateway import addresses

#: How far its server must prove who it is.
MODES: Final = ("verify-full", "require", "disable")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_MOST: Final = 100  # of the file
_FIELDS: Final = {"url", "tenants", "connections"}


@dataclass(frozen=True, slots=True)
class Database:
    """One line of the file."""

    name: str  # in declarations of sources
    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    tls: str = "verify-full"  # of MODES
    tenants: tuple[str, ...] | None = None  # None: everybody
    connections: int = 10  # at one time

    def is_for(self, tenant: str) -> bool:
        """Whether this tenant's jobs may ask it."""
        return self.tenants is None or tenant in self.tenants


def load(path: Path | None) -> dict[str, Database]:
    """By name. ConfigError names the entry that is wrong, never its content."""
    if path is None:
        return {}
    found = tables.read(path, _wrong)
    if not isinstance(found, dict) or len(found) > _MOST:
        raise _wrong(f"must be a table of at most {_MOST} databases")
    return {str(name): _database(name, body) for name, body in found.items()}


def _database(name: Any, body: Any) -> Database:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _wrong("has a name that is not of letters, digits and _.- only")
    entry = {"url": body} if isinstance(body, str) else body
    if not isinstance(entry, dict) or set(entry) - _FIELDS or "url" not in entry:
        raise _wrong(f"{name} has a url, and perhaps tenants and connections")
    most = entry.get("connections", 10)
    if type(most) is not int or not 0 < most <= 1_000:
        raise _wrong(f"{name}: connections must be between 1 and 1,000")
    tenants = entry.get("tenants")
    if tenants is not None and not _are_texts(tenants):
        raise _wrong(f"{name}: tenants must be a list of names")
    try:
        where = _where(entry["url"])
    except ValueError as wrong:
        raise _wrong(f"{name}: {wrong}") from None
    return Database(
        name=name,
        tenants=None if tenants is None else tuple(tenants),
        connections=most,
        **where,
    )


def _where(url: Any) -> Mapping[str, Any]:
    """What a URL says. ValueError, whose words hold nothing of it."""
    form = "url is not postgresql://USER:PASSWORD@HOST[:PORT]/DATABASE[?sslmode=…]"
    try:
        found = addresses.parse(url, "postgresql", "postgres")
        more = parse_qs(found.query, strict_parsing=True) if found.query else {}
    except ValueError:
        raise ValueError(form) from None
    database = unquote(found.path[1:])
    if not database or not found.user or "\0" in f"{database}{found.user}":
        raise ValueError(form)
    mode = more.pop("sslmode", ["verify-full"])[-1]
    if mode not in MODES or more:
        raise ValueError(f"behind its ? stands nothing but sslmode: {', '.join(MODES)}")
    return {
        "host": found.host,
        "port": found.port or 5432,
        "database": database,
        "user": found.user,
        "password": found.password,
        "tls": mode,
    }


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _wrong(why: str) -> errors.ConfigError:
    return errors.ConfigError(f"KNIFY_DATABASES_FILE {why}")

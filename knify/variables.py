"""Variables of the environment that say more than a number or a text: sizes, addresses, paths."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from environs import Env
from marshmallow.validate import OneOf

from knify import egress, errors, units

Network = IPv4Network | IPv6Network


def redis_url(env: Env, name: str) -> str | None:
    """Where Redis is; a password that the address does not have comes from REDIS_PASSWORD."""
    text, password = env.str(name, ""), env.str("REDIS_PASSWORD", "")
    parts = urlsplit(text)
    if not text or not password or parts.password or not parts.netloc:
        return text or None
    user, at, host = parts.netloc.rpartition("@")
    login = f"{user if at else ''}:{quote(password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{login}@{host}"))


def proxies(env: Env, name: str) -> tuple[Network | str, ...]:
    """Addresses, networks and hosts' names, with commas between."""
    return tuple(_proxy(name, text) for text in names(env, name))


def _proxy(name: str, text: str) -> Network | str:
    try:
        return ip_network(text, strict=False)
    except ValueError as wrong:
        if re.fullmatch(r"[A-Za-z](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", text):
            return text
        why = f"{text!r} is no address, network or name such as 10.0.0.5, 10.0.0.0/24 or proxy"
        raise errors.ConfigError(f"KNIFY_{name}: {why}") from wrong


def switch(env: Env, name: str) -> bool:
    """0 or 1; 0 when it is not there."""
    return bool(env.int(name, 0, validate=OneOf([0, 1])))


def size(env: Env, name: str, default: str = "") -> int | None:
    """Bytes; None for an empty text."""
    try:
        text = env.str(name, default)
        return units.parse_size(text) if text else None
    except ValueError as wrong:
        raise errors.ConfigError(f"KNIFY_{name}: {wrong}") from wrong


def amount(env: Env, name: str, default: str, *, most: str = "1024T") -> int:
    """What has to be at least 1 KiB."""
    found = size(env, name, default) or 0
    if not 1_024 <= found <= units.parse_size(most):
        raise errors.ConfigError(f"KNIFY_{name}: must be between 1K and {most}, such as {default}")
    return found


def names(env: Env, name: str) -> tuple[str, ...]:
    """With commas between; none where nothing is said."""
    return tuple(filter(None, (part.strip() for part in env.str(name, "").split(","))))


def hosts(env: Env, name: str) -> dict[str, tuple[str, int]]:
    """`name=address:port` each, with commas between."""
    found = {}
    for entry in filter(None, (part.strip() for part in env.str(name, "").split(","))):
        host, _, where = entry.partition("=")
        address, _, port = where.rpartition(":")
        try:
            found[egress.name(host)] = (str(ip_address(address.strip("[]"))), _port(port))
        except (errors.EgressRefused, ValueError) as wrong:
            why = f"{entry!r} is not NAME=ADDRESS:PORT such as git.example.com=10.0.0.5:443"
            raise errors.ConfigError(f"KNIFY_{name}: {why}") from wrong
    return found


def url(env: Env, name: str, default: str) -> str:
    """Where an API is; any address, since the operator says it."""
    try:
        return egress.parse(env.str(name, default)).url.rstrip("/")
    except errors.EgressRefused as wrong:
        raise errors.ConfigError(f"KNIFY_{name}: {wrong.message}") from wrong


def place(env: Env, name: str, default: str) -> str:
    """A path of plain words, each of which may also be `{tenant}`; perhaps none."""
    text = env.str(name, default)
    if text and not re.fullmatch(
        r"(?:[\w-]|\{tenant\})+(?:/(?:[\w-]|\{tenant\})+)*", text, re.ASCII
    ):
        raise errors.ConfigError(f"KNIFY_{name}: must look like {default}")
    return text


def address(env: Env, name: str) -> str | None:
    """The same of what need not be there; None for an empty text."""
    return url(env, name, "") if env.str(name, "") else None


def path(env: Env, name: str) -> Path | None:
    """Made absolute; None for an empty text."""
    text = env.str(name, "")
    return Path(text).expanduser().absolute() if text else None


def _port(text: str) -> int:
    if not 0 < int(text) < 65_536:
        raise ValueError(f"no port: {text}")
    return int(text)


def secret(env: Env, name: str) -> str:
    """Nothing, or a text that nobody guesses."""
    found: str = env.str(name, "")
    if found and (len(found) < 16 or not found.isascii() or not found.isprintable()):
        raise errors.ConfigError(f"KNIFY_{name}: must have at least 16 ASCII characters")
    return found

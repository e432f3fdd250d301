"""Where Redis is: an address, with TLS or without, or a name that Sentinels resolve.

`redis://…`, `rediss://…`, `unix://…`, and `redis+sentinel://[user:password@]host[:26379],…/NAME[/DB]`
(`rediss+sentinel://` for TLS to Sentinels and Redis alike). Options behind `?`: those of TLS
(`ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`), and `sentinel_username`, `sentinel_password`.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

import redis
from redis import sentinel

from knify import errors

SENTINELS: Final[tuple[str, ...]] = ("redis+sentinel", "rediss+sentinel")
_PORT: Final = 26_379
_TLS: Final[tuple[str, ...]] = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_LOGIN: Final[tuple[str, ...]] = ("sentinel_username", "sentinel_password")
_SECONDS: Final = 1.0  # for a Sentinel's answer; the next one is asked then


@dataclass(frozen=True, slots=True)
class Watched:
    """A primary that Sentinels watch."""

    sentinels: tuple[tuple[str, int], ...]
    name: str
    options: dict[str, Any] = field(repr=False)  # of connections to the primary
    login: dict[str, Any] = field(repr=False)  # of connections to Sentinels
    is_secure: bool


def watched(url: str) -> Watched | None:
    """What a Sentinel's address says; None for another one. ConfigError."""
    parts = urlsplit(url)
    if parts.scheme not in SENTINELS:
        return None
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    name, _, database = parts.path.strip("/").partition("/")
    said = dict(parse_qsl(parts.query))
    unknown = sorted(set(said) - {*_TLS, *_LOGIN})
    is_secure = parts.scheme.startswith("rediss")
    if unknown or not name or not hosts or not (database or "0").isdigit():
        raise _wrong(f"unknown option {unknown[0]}" if unknown else "")
    tls = {option: said[option] for option in _TLS if option in said} if is_secure else {}
    options: dict[str, Any] = {"db": int(database or 0), **tls}
    options |= {"username": unquote(user)} if user else {}
    options |= {"password": unquote(password)} if password else {}
    own: dict[str, Any] = {
        option.removeprefix("sentinel_"): said[option] for option in _LOGIN if option in said
    }
    own |= {"ssl": True, **tls} if is_secure else {}
    return Watched(tuple(map(_host, hosts.split(","))), unquote(name), options, own, is_secure)


def _host(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    try:
        host, port = parts.hostname, parts.port or _PORT
    except ValueError:
        host = None
    if not host:
        raise _wrong(f"{text!r} is no host")
    return host, port


def _wrong(why: str) -> errors.ConfigError:
    form = "redis+sentinel://host1:26379,host2:26379/NAME"
    return errors.ConfigError(f"KNIFY_REDIS_URL: {why + '; ' if why else ''}write {form}")


def check(url: str) -> None:
    """ConfigError unless it can be used."""
    if watched(url) is None and urlsplit(url).scheme not in ("redis", "rediss", "unix"):
        raise errors.ConfigError(
            "KNIFY_REDIS_URL must begin with redis://, rediss://, unix:// or "
            "redis+sentinel:// (rediss+sentinel:// with TLS)"
        )


def options(url: str) -> dict[str, Any]:
    """What a pool of connections to it is made with: its class, and the arguments of that."""
    found = watched(url)
    if found is None:
        parsed: dict[str, Any] = redis.connection.parse_url(url)  # type: ignore[no-untyped-call]
        return parsed
    kind = (
        sentinel.SentinelManagedSSLConnection
        if found.is_secure
        else sentinel.SentinelManagedConnection
    )
    return {
        **found.options,
        "connection_class": kind,
        "connection_pool": _Primary(found),
    }


class _Primary:
    """What redis-py's connections ask where to go, each time that they are opened anew."""

    is_master = True
    check_connection = False

    def __init__(self, found: Watched) -> None:
        self.service_name = found.name
        self._sentinel = sentinel.Sentinel(  # type: ignore[no-untyped-call]
            found.sentinels,
            sentinel_kwargs={
                "socket_timeout": _SECONDS,
                "socket_connect_timeout": _SECONDS,
                **found.login,
            },
        )

    def get_master_address(self) -> tuple[str, int]:
        """Host and port. redis.ConnectionError while no Sentinel knows one."""
        host, port = self._sentinel.discover_master(self.service_name)  # type: ignore[no-untyped-call]
        return str(host), int(port)


@dataclass(frozen=True, slots=True)
class Broker:
    """The same, as kombu wants it said."""

    url: str = field(repr=False)
    transport: dict[str, Any] = field(default_factory=dict, repr=False)
    tls: dict[str, Any] | None = None


def broker(url: str) -> Broker:
    """For Celery."""
    found = watched(url)
    parts = urlsplit(url)
    if found is None and parts.scheme == "rediss":
        said = dict(parse_qsl(parts.query))
        kept = {name: said[name] for name in _TLS if name in said}
        return Broker(urlunsplit(parts._replace(query="")), {}, _verified(kept))
    if found is None:
        return Broker(url.replace("unix://", "redis+socket://", 1))
    user, password = (found.options.get(name, "") for name in ("username", "password"))
    at = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
    database = found.options["db"]
    urls = ";".join(
        f"sentinel://{at}{f'[{host}]' if ':' in host else host}:{port}/{database}"
        for host, port in found.sentinels
    )
    asked = {"socket_timeout": _SECONDS, "socket_connect_timeout": _SECONDS, **found.login}
    kept = {name: found.options[name] for name in _TLS if name in found.options}
    more = {"master_name": found.name, "sentinel_kwargs": asked}
    return Broker(urls, more, _verified(kept) if found.is_secure else None)


def _verified(tls: dict[str, Any]) -> dict[str, Any]:
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True, **tls}

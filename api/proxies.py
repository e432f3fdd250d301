"""What a proxy says of the client it passes on: believed of those that the operator trusts."""

from __future__ import annotations

import logging
import re
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

from knify.variables import Network

log = logging.getLogger(__name__)

Address = IPv4Address | IPv6Address
Lookup = Callable[..., Any]
_NAMES_SECONDS: Final = 5.0
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]

_FOR, _PROTO, _HOST = "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST"
#: Nobody behind this may read them: here they are understood, or thrown away.
_SAID: Final = (
    *(_FOR, _PROTO, _HOST, "HTTP_X_FORWARDED_PORT", "HTTP_X_FORWARDED_PREFIX"),
    *("HTTP_X_FORWARDED_SERVER", "HTTP_X_FORWARDED_SSL", "HTTP_FORWARDED", "HTTP_X_REAL_IP"),
)
_NAME: Final = re.compile(r"[A-Za-z0-9.-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:]{2,39}\](:\d{1,5})?")

#: How some proxies name a client: with the port that it came from.
_HOP: Final = re.compile(r"([0-9.]{7,15}|\[[0-9A-Fa-f:.]{2,45}\]):\d{1,5}")


class Trusted:
    """Whom the operator trusts: networks, and hosts by name, which are looked up now and then."""

    def __init__(self, named: Sequence[Network | str], lookup: Lookup = socket.getaddrinfo) -> None:
        self._networks = [one for one in named if not isinstance(one, str)]
        self._names = [one for one in named if isinstance(one, str)]
        self._lookup = lookup
        self._found: dict[str, set[Address]] = {}
        self._looked: float | None = None

    def __contains__(self, address: object) -> bool:
        if address is None:
            return False
        return any(address in network for network in self._networks) or address in self._hosts()

    def _hosts(self) -> set[Address]:
        now = time.monotonic()
        if self._names and (self._looked is None or now > self._looked + _NAMES_SECONDS):
            self._looked = now  # others that ask meanwhile get what was known before
            self._found = {name: self._of(name) for name in self._names}
        return {address for addresses in self._found.values() for address in addresses}

    def _of(self, name: str) -> set[Address]:
        """Its addresses; while nobody knows them, those of before."""
        try:
            answers = self._lookup(name, None, type=socket.SOCK_STREAM)
        except OSError as failed:
            log.warning("the proxy %s is not known: %s", name, failed)
            return self._found.get(name, set())
        return {found for *_, place in answers if (found := _address(str(place[0]))) is not None}


def behind(trusted: Trusted, application: Wsgi) -> Wsgi:
    """The application, which sees the client's own address, scheme and host in `environ`."""

    def run(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        said = {name: environ.pop(name) for name in _SAID if name in environ}
        if said and _address(environ.get("REMOTE_ADDR", "")) in trusted:
            _believe(environ, said, trusted)
        return application(environ, start_response)

    return run


def _believe(environ: dict[str, Any], said: dict[str, str], trusted: Trusted) -> None:
    client = _client(_words(said.get(_FOR, "")), trusted)
    if client is not None:
        environ["REMOTE_ADDR"] = str(client)
        environ.pop("REMOTE_PORT", None)
    # The last word is that of the proxy that is connected; others before it are hearsay.
    scheme = (_words(said.get(_PROTO, "")) or [""])[-1].lower()
    if scheme in ("http", "https"):
        environ["wsgi.url_scheme"] = scheme
    host = (_words(said.get(_HOST, "")) or [""])[-1]
    if _NAME.fullmatch(host):
        environ["HTTP_HOST"] = host


def _client(hops: list[str], trusted: Trusted) -> Address | None:
    """From the right, the first that is no proxy of ours: what stands before it may be invented."""
    found = None
    for hop in reversed(hops):
        with_port = _HOP.fullmatch(hop)
        address = _address(with_port[1] if with_port else hop)
        if address is None:
            break
        found = address
        if address not in trusted:
            break
    return found


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text.strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address

"""Where Knify connects to on a user's behalf: resolved once, checked, and then exactly there.

Whoever names a host must not reach what only this machine reaches: loopback, private networks,
cloud metadata, and itself by a public address, where a firewall would stand before it. A name is
resolved once for each connection; unless every address that it has is public, nothing is connected
to. The socket goes to an address that was checked, so that a name which changes its answer between
check and use (rebinding) gains nothing.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import SplitResult, urlsplit

import idna

from knify import errors, machine

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver: TypeAlias = Callable[[str, int], list[str]]

MAX_URL: Final = 2048  # characters
RESOLVE_SECONDS: Final = 5.0

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PRINTABLE: Final = re.compile(r"[!-~\u00a1-\U0010ffff]+")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC: Final = re.compile(r"0x[0-9a-f]*|[0-9]+")
#: Names that no public DNS answers for, and that resolvers may take for this machine's network.
_INTERNAL: Final = ("localhost", "local", "internal", "intranet", "lan", "home.arpa", "localdomain")
#: What Python's `ipaddress` (as of 3.11) takes for public though nobody on the internet is there.
_NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",  # protocol assignments, one cloud's metadata among them
        "192.88.99.0/24",  # 6to4 relays
        "168.63.129.16/32",  # a cloud's host agent, behind a public address
        "3fff::/20",  # documentation
        "192.31.196.0/24",  # AS112: whoever is nearest answers, often the own network
        "192.175.48.0/24",
        "2001:4:112::/48",
        "2620:4f:8000::/48",
        "64:ff9b:1::/48",  # NAT64 of a local network
    )
)
_GLOBAL_V6: Final = ipaddress.ip_network("2000::/3")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads; the host is normalised and may still be a name."""

    scheme: str  # http | https
    host: str  # ASCII, lower case, without a dot at its end; IPv6 without brackets
    port: int
    url: str  # as it is to be requested: ASCII, without a fragment

    @property
    def literal(self) -> Address | None:
        """The address, when the host is one."""
        return _literal(self.host)


def parse(url: str) -> Target:
    """A URL that may be requested; EgressRefused says what is wrong with any other.

    Nothing is resolved. Hosts that look like a number in any notation but the usual one of IPv4 are
    refused, for readers disagree about them.
    """
    if len(url) > MAX_URL:
        raise errors.EgressRefused(f"has more than {MAX_URL} characters")
    if not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise errors.EgressRefused("holds spaces, backslashes or control characters")
    try:
        parts = urlsplit(url)
        port, raw = parts.port, parts.hostname or ""
    except ValueError as failed:
        raise errors.EgressRefused("is not a URL such as https://example.com/hook") from failed
    if parts.scheme not in _DEFAULT_PORTS:
        raise errors.EgressRefused("must begin with https:// or http://")
    if "@" in parts.netloc:
        raise errors.EgressRefused("must not hold a user name or password")
    if port == 0 or parts.netloc.endswith(":"):
        raise errors.EgressRefused("names no usable port")
    host = _host(raw)
    if "[" in parts.netloc and ":" not in host:
        raise errors.EgressRefused("names no valid IPv6 address")
    port = port or _DEFAULT_PORTS[parts.scheme]
    return Target(parts.scheme, host, port, _request_url(parts.scheme, host, port, parts))


def name(raw: str) -> str:
    """A host's name as everybody reads it; EgressRefused for an address or what is no name."""
    host = _host(raw)
    if _literal(host) is not None:
        raise errors.EgressRefused("is an address: give a name")
    return host


def allow(target: Target, *, private: bool = False) -> None:
    """EgressRefused when the host alone, without asking anybody, says that it is not public."""
    if target.literal is not None:
        check(target.literal, private=private)
    elif not private and _is_internal(target.host):
        raise errors.EgressRefused(f"names {target.host}, which is of this machine or its network")


def check(address: Address, *, private: bool = False) -> None:
    """EgressRefused unless everybody on the internet could connect there.

    `private` lets private, loopback, link-local and own addresses pass (the operator's choice);
    groups and addresses that are none never do.
    """
    for inner in _unwrapped(address):
        never = inner.is_multicast or inner.is_unspecified or str(inner) == "255.255.255.255"
        if never or not (private or _is_public(inner)):
            raise errors.EgressRefused(f"leads to {address}, which is not a public address")
        if not private and _own.has(inner):
            raise errors.EgressRefused(f"leads to {address}, which is an address of this machine")


def resolve(
    target: Target,
    *,
    private: bool = False,
    lookup: Resolver | None = None,
    seconds: float | None = RESOLVE_SECONDS,
) -> list[Address]:
    """The addresses to connect to, in the resolver's order. EgressRefused, NameUnknown.

    `seconds`: None asks in this very thread, for as long as the resolver takes.
    One that is not public refuses all: a name with both kinds is a trap or a mistake.
    """
    allow(target, private=private)
    if target.literal is not None:
        return [target.literal]
    found = list(dict.fromkeys(_address(text) for text in _ask(target, lookup or system, seconds)))
    for address in found:
        check(address, private=private)
    if not found:
        raise errors.NameUnknown(f"{target.host} has no address")
    return found


def system(host: str, port: int) -> list[str]:
    """The addresses that this machine's resolver knows. NameUnknown."""
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as failed:
        raise errors.NameUnknown(f"{host} cannot be resolved") from failed
    return [str(row[4][0]) for row in rows]


def _ask(target: Target, lookup: Resolver, seconds: float | None) -> list[str]:
    """In a thread: the system's resolver has no time limit of its own."""
    if seconds is None:
        return lookup(target.host, target.port)
    asked = _resolvers.submit(lookup, target.host, target.port)
    try:
        return asked.result(seconds)
    except FutureTimeout as late:
        asked.cancel()
        raise errors.NameUnknown(f"{target.host} was not resolved in time") from late


def _host(raw: str) -> str:
    """The host as everybody reads it, or a refusal."""
    host = unicodedata.normalize("NFKC", raw).lower().rstrip(".")
    if not host or "%" in host:
        raise errors.EgressRefused("names no usable host")
    if ":" in host:
        return str(_v6(host))
    if _NUMERIC.fullmatch(host.rpartition(".")[2]):
        return str(_v4(host))
    try:
        name = host if host.isascii() else idna.encode(host, uts46=True).decode()
    except (idna.IDNAError, UnicodeError) as failed:
        raise errors.EgressRefused("names a host that is no valid name") from failed
    if len(name) > 253 or not all(map(_LABEL.fullmatch, name.split("."))):
        raise errors.EgressRefused("names a host that is no valid name")
    if _NUMERIC.fullmatch(name.rpartition(".")[2]):  # what mapping made of other scripts' digits
        return str(_v4(name))
    return name


def _v4(host: str) -> ipaddress.IPv4Address:
    try:
        return ipaddress.IPv4Address(host)
    except ValueError as failed:
        raise errors.EgressRefused(
            "writes an address in an unusual way: use four decimal numbers, or a name"
        ) from failed


def _v6(host: str) -> ipaddress.IPv6Address:
    try:
        return ipaddress.IPv6Address(host)
    except ValueError as failed:
        raise errors.EgressRefused("names no valid IPv6 address") from failed


def _request_url(scheme: str, host: str, port: int, parts: SplitResult) -> str:
    where = f"[{host}]" if ":" in host else host
    if port != _DEFAULT_PORTS[scheme]:
        where += f":{port}"
    query = f"?{parts.query}" if parts.query else ""
    url = f"{scheme}://{where}{parts.path or '/'}{query}"
    return "".join(c if c.isascii() else _quoted(c) for c in url)


def _quoted(character: str) -> str:
    try:
        return "".join(f"%{byte:02X}" for byte in character.encode())
    except UnicodeEncodeError as failed:  # a surrogate
        raise errors.EgressRefused("holds characters that are none") from failed


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _address(text: str) -> Address:
    """A resolver's text; the zone that it may add does not make an address public."""
    return ipaddress.ip_address(text.partition("%")[0])


def _is_internal(host: str) -> bool:
    """Also what has no dot: no such name leads to the internet."""
    return "." not in host or any(host.endswith(f".{name}") for name in _INTERNAL)


def _is_public(address: Address) -> bool:
    if address.version == 6 and address not in _GLOBAL_V6:
        return False
    if any(address in network for network in _NOT_PUBLIC if network.version == address.version):
        return False
    return address.is_global and not (address.is_reserved or address.is_multicast)


def _unwrapped(address: Address) -> Iterator[Address]:
    """The address, or those that it stands for: a packet to it may end at any of them."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
    elif address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif address in _NAT64:
        yield ipaddress.IPv4Address(address.packed[-4:])
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:
        yield from address.teredo
    else:
        yield address


_own = machine.Own()
#: More than attempts at one time: a resolver that hangs holds a thread beyond its time limit.
_resolvers = ThreadPoolExecutor(64, thread_name_prefix="resolve")

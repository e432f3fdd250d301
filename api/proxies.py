"""What a proxy says of the client it passes on: believed of those that the operator trusts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

from knify.variables import Network

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]

_FOR, _PROTO, _HOST = "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST"
#: Nobody behind this may read them: here they are understood, or thrown away.
_SAID: Final = (
    *(_FOR, _PROTO, _HOST, "HTTP_X_FORWARDED_PORT", "HTTP_X_FORWARDED_PREFIX"),
    *("HTTP_X_FORWARDED_SERVER", "HTTP_X_FORWARDED_SSL", "HTTP_FORWARDED", "HTTP_X_REAL_IP"),
)
_NAME: Final = re.compile(r"[A-Za-z0-9.-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:]{2,39}\](:\d{1,5})?")


def behind(trusted: Sequence[Network], application: Wsgi) -> Wsgi:
    """The application, which sees the client's own address, scheme and host in `environ`."""

    def run(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        said = {name: environ.pop(name) for name in _SAID if name in environ}
        if said and _is_trusted(trusted, _address(environ.get("REMOTE_ADDR", ""))):
            _believe(environ, said, trusted)
        return application(environ, start_response)

    return run


def _believe(environ: dict[str, Any], said: dict[str, str], trusted: Sequence[Network]) -> None:
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


def _client(hops: list[str], trusted: Sequence[Network]) -> IPv4Address | IPv6Address | None:
    """From the right, the first that is no proxy of ours: what stands before it may be invented."""
    found = None
    for hop in reversed(hops):
        address = _address(hop)
        if address is None:
            break
        found = address
        if not _is_trusted(trusted, address):
            break
    return found


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_trusted(trusted: Sequence[Network], address: IPv4Address | IPv6Address | None) -> bool:
    return address is not None and any(address in network for network in trusted)

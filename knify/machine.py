"""The addresses of this very machine, as its kernel has them.

Of the namespace that this process is in, and of the first process's, where that is another one: a
part in a container that sees the host's processes counts the host's addresses, too.
"""

from __future__ import annotations

import ipaddress
import re
import time
from pathlib import Path
from typing import Final, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_PLACES: Final = (Path("/proc/self/net"), Path("/proc/1/net"))
_SECONDS: Final = 10.0  # for which what was read counts: addresses may come and go
#: In the tree of routes: an address, then what it is there for.
_LOCAL: Final = re.compile(r"\|-- ([0-9.]+)\n(?:\s+/\d+ (?!32 host LOCAL).*\n)*?\s+/32 host LOCAL")


class Own:
    """What was read, for a while."""

    def __init__(self, places: tuple[Path, ...] = _PLACES) -> None:
        """`places`: folders as /proc/PID/net is one."""
        self._places = places
        self._known: frozenset[Address] = frozenset()
        self._until = 0.0  # monotonic

    def has(self, address: Address) -> bool:
        """Whether a connection to it would end at this machine."""
        if time.monotonic() > self._until:
            self._known = frozenset(found for place in self._places for found in _read(place))
            self._until = time.monotonic() + _SECONDS
        return address in self._known


def _read(place: Path) -> list[Address]:
    """None where nothing can be read: then it is not the place of this machine's addresses."""
    found: list[Address] = []
    try:
        routes = (place / "fib_trie").read_text()
        found += [ipaddress.IPv4Address(text) for text in _LOCAL.findall(routes)]
    except OSError:
        pass
    try:
        rows = (place / "if_inet6").read_text().splitlines()
        found += [ipaddress.IPv6Address(int(row.split()[0], 16)) for row in rows]
    except OSError:
        pass
    return found

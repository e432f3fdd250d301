"""A port of the sandbox whose connections go on, through its proxy, to one host outside."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from knify.agents.exam import source

_SECONDS = 15.0  # for the way to the target
_CHUNK = 64 * 1024
_HEAD = 16 * 1024  # bytes of the proxy's answer


@contextmanager
def through(proxy: str, target: str) -> Iterator[int]:
    """The port. SourceError when the proxy does not let through to `target` (`host:port`)."""
    _connect(proxy, target).close()  # says why, where a database's client could not
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server, proxy, target), daemon=True).start()
        yield server.getsockname()[1]
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def _serve(server: socket.socket, proxy: str, target: str) -> None:
    while True:
        try:
            inner, _ = server.accept()
        except OSError:
            return
        try:
            outer = _connect(proxy, target)
        except source.SourceError:
            inner.close()
            continue
        for ends in ((inner, outer), (outer, inner)):
            threading.Thread(target=_pump, args=ends, daemon=True).start()


def _connect(proxy: str, target: str) -> socket.socket:
    where = urlsplit(proxy)
    try:
        line = socket.create_connection((where.hostname or "", where.port or 80), _SECONDS)
        line.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = line.recv(1)  # what follows belongs to the target already
            if not byte or len(head) > _HEAD:
                raise source.SourceError(f"the way to {target} ended early")
            head += byte
    except (OSError, UnicodeError) as failed:
        raise source.SourceError(f"no way to {target}: {failed}") from None
    status = head.split(b"\r\n")[0].decode("latin-1").split(" ", 2)
    if status[1:2] != ["200"]:
        line.close()
        raise source.SourceError(f"no way to {target}: {' '.join(status[1:]).strip()[:200]}")
    line.settimeout(None)
    return line


def _pump(source_: socket.socket, sink: socket.socket) -> None:
    """Until one end closes; then the other one learns of it."""
    with suppress(OSError):
        while data := source_.recv(_CHUNK):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)

"""A PostgreSQL server that knows logins and otherwise repeats what it is asked, on loopback."""

from __future__ import annotations

import hashlib
import socket
import socketserver
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import scramp

from knify.gateway.postgres import wire

USER, PASSWORD, DATABASE = "reader", "pass/word of the database", "inner"
READY = wire.pack(b"Z", b"T")
KEY = b"pid and key"[:8]


class Server(socketserver.ThreadingTCPServer):
    """`asked` are the messages behind the login, `started` the parameters of each session."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, login: str, secret: Path | None) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.login = login
        self.tls: ssl.SSLContext | None = None
        if secret is not None:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(secret)
        self.started: list[dict[str, str]] = []
        self.asked: list[tuple[bytes, bytes]] = []
        self.state = b"T"  # that it says behind the first query
        self.left = threading.Semaphore(0)  # one more for each session that has ended
        self.is_superuser = False
        self.member_of = ""  # a role
        self.rounds = 4_096
        self.stuck = threading.Event()  # set: it answers nothing and hears nobody's leaving
        self.cancelled: list[bytes] = []

    def url(self, tls: str = "disable", password: str = "pass%2Fword%20of%20the%20database") -> str:
        where = f"localhost:{self.server_address[1]}/{DATABASE}"
        return f"postgresql://{USER}:{password}@{where}?sslmode={tls}"


class _Session(socketserver.BaseRequestHandler):
    server: Server
    request: Any
    is_cancel = False

    def handle(self) -> None:
        try:
            self._serve()
        except (OSError, EOFError):
            pass
        finally:
            if not self.is_cancel:
                self.server.left.release()

    def _serve(self) -> None:
        start = self._start()
        if start[:4] == struct.pack("!I", wire.TLS):
            self.request.sendall(b"S" if self.server.tls else b"N")
            if self.server.tls is not None:
                self.request = self.server.tls.wrap_socket(self.request, server_side=True)
            start = self._start()
        if start[:4] == struct.pack("!I", wire.CANCEL):
            self.server.cancelled.append(start[4:])
            self.server.stuck.clear()
            self.is_cancel = True
            return
        self.server.started.append(wire.parameters(start[4:]))
        if not getattr(self, f"_{self.server.login}")():
            self._send(b"E", b"SFATAL\0C28P01\0Mpassword of reader at 10.0.0.5 is wrong\0\0")
            return
        self._send(b"R", bytes(4))
        self._send(b"S", b"server_version\00015.0\0")
        if self.server.is_superuser:
            self._send(b"S", b"is_superuser\0on\0")
        self._send(b"K", KEY)
        self._send(b"Z", b"I")
        kind, body = self._message()
        self.server.asked.append((kind, body))
        self._send(b"C", b"BEGIN\0")
        if self.server.member_of:
            values = (b"knify: member of", self.server.member_of.encode())
            row = b"".join(struct.pack("!I", len(value)) + value for value in values)
            self._send(b"D", struct.pack("!H", 2) + row)
        self._send(b"Z", self.server.state)
        while True:
            kind, body = self._message()
            self.server.asked.append((kind, body))
            while self.server.stuck.is_set():
                time.sleep(0.02)
            if kind == b"X":
                return
            self._send(b"C", body[:100])
            self.request.sendall(READY)

    def _trust(self) -> bool:
        return True

    def _clear(self) -> bool:
        self._send(b"R", struct.pack("!I", 3))
        return self._message() == (b"p", PASSWORD.encode() + b"\0")

    def _md5(self) -> bool:
        self._send(b"R", struct.pack("!I", 5) + b"salt")
        inner = hashlib.md5((PASSWORD + USER).encode()).hexdigest()
        outer = hashlib.md5(inner.encode() + b"salt").hexdigest()
        return self._message() == (b"p", f"md5{outer}".encode() + b"\0")

    def _scram(self, knows: str = PASSWORD) -> bool:
        mechanism = scramp.ScramMechanism("SCRAM-SHA-256")
        known = mechanism.make_auth_info(knows, iteration_count=self.server.rounds)
        exchange = mechanism.make_server(lambda _: known)
        self._send(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")
        _, body = self._message()
        name, _, rest = body.partition(b"\0")
        assert name == b"SCRAM-SHA-256"
        exchange.set_client_first(rest[4:].decode())
        self._send(b"R", struct.pack("!I", 11) + exchange.get_server_first().encode())
        _, body = self._message()
        try:
            exchange.set_client_final(body.decode())
        except scramp.ScramException:
            return False
        self._send(b"R", struct.pack("!I", 12) + exchange.get_server_final().encode())
        return True

    def _pretends(self) -> bool:
        """Never shows that it knows the password."""
        self._send(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0")
        self._message()
        return True

    def _unknown(self) -> bool:
        self._send(b"R", struct.pack("!I", 7))
        return True

    def _start(self) -> bytes:
        return self._exactly(struct.unpack("!I", self._exactly(4))[0] - 4)

    def _message(self) -> tuple[bytes, bytes]:
        kind = self._exactly(1)
        return kind, self._exactly(struct.unpack("!I", self._exactly(4))[0] - 4)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            if not (more := self.request.recv(size - len(data))):
                raise EOFError
            data += more
        return data

    def _send(self, kind: bytes, body: bytes) -> None:
        self.request.sendall(wire.pack(kind, body))


@contextmanager
def running(login: str = "scram", secret: Path | None = None) -> Iterator[Server]:
    """`login`: trust, clear, md5, scram, pretends or unknown; TLS with a `secret`."""
    with Server(login, secret) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


class Client:
    """One who speaks to a door's port."""

    def __init__(self, port: int) -> None:
        self._line = socket.create_connection(("127.0.0.1", port), 20)
        self._file = self._line.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._line.close()

    def say(self, data: bytes) -> None:
        self._line.sendall(data)

    def byte(self) -> bytes:
        return self._file.read(1)

    def start(self, database: str) -> list[tuple[bytes, bytes]]:
        """Until it is ready, or has failed."""
        self.say(wire.pack_start({"user": "anybody", "database": database, "options": "-c x=y"}))
        return self.answers()

    def answers(self) -> list[tuple[bytes, bytes]]:
        """All messages up to the next that says how things stand; none when it was closed."""
        found = []
        while head := self._file.read(5):
            kind, size = head[:1], struct.unpack("!I", head[1:])[0]
            found.append((kind, self._file.read(size - 4)))
            if kind in b"ZE":
                break
        return found

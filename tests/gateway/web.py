"""A small web server on loopback: what sandboxes reach, or must not."""

from __future__ import annotations

import http.server
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Web:
    """A running server; `seen` are the requests that reached it."""

    def __init__(self, server: http.server.ThreadingHTTPServer, seen: list[str]) -> None:
        self.port = server.server_address[1]
        self.seen = seen


@contextmanager
def running(
    text: str = "hello from outside", status: int = 200, secret: Path | None = None
) -> Iterator[Web]:
    """Answers every GET and POST with this text and what was sent; by TLS with a `secret`."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers.get("content-length", "0")))
            seen.append(f"{self.command} {self.path} {self.headers.get('host')}")
            content = text.encode() + sent
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if secret is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(secret)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Web(server, seen)
    finally:
        server.shutdown()
        server.server_close()


def certified(folder: Path, *names: str) -> tuple[Path, Path]:
    """A key with its certificate for these in one file, and the certificate, signed by itself."""
    secret, certificate = folder / "secret.pem", folder / "certificate.pem"
    known = "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "3650", "-subj", f"/CN={names[0]}", "-addext", known,
         "-keyout", str(secret), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    secret.write_bytes(secret.read_bytes() + certificate.read_bytes())
    return secret, certificate

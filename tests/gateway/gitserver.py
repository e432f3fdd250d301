"""A git server over TLS that asks for a login: git's own CGI program behind a small HTTP server."""

from __future__ import annotations

import base64
import http.server
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

LOGIN = "bot:s3cret-token"


def repository(folder: Path, path: str, files: dict[str, str]) -> None:
    """A bare repository below the folder, with one commit of these files on `main`."""
    work = folder / f"{path}.work"
    work.mkdir(parents=True)
    for name, text in files.items():
        (work / name).write_text(text)
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (
        ("init", "--quiet", "--initial-branch=main"),
        ("add", "."),
        (*identity, "commit", "--quiet", "-m", "first"),
        ("clone", "--quiet", "--bare", ".", str(folder / path)),
    ):
        subprocess.run(["git", *words], cwd=work, check=True, capture_output=True)


@contextmanager
def running(
    repositories: Path,
    secret: Path,
    *,
    public: str = "/public/",
    redirects: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """Serves all bare repositories below the folder; its port.

    What is below `public` needs no login; what begins as a key of `redirects` leads elsewhere.
    """
    wanted = "Basic " + base64.b64encode(LOGIN.encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            sent = self._sent()
            for prefix, location in (redirects or {}).items():
                if self.path.startswith(prefix):
                    self.send_response(302)
                    self.send_header("location", location + self.path.removeprefix(prefix))
                    self.send_header("content-length", "0")
                    self.end_headers()
                    return
            known = self.headers.get("authorization") == wanted
            if not known and not self.path.startswith(public):
                self.send_response(401)
                self.send_header("www-authenticate", 'Basic realm="git"')
                self.send_header("content-length", "0")
                self.end_headers()
                return
            path, _, query = self.path.partition("?")
            env = os.environ | {
                "GIT_PROJECT_ROOT": str(repositories),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REMOTE_USER": "bot",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("content-type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
                "GIT_PROTOCOL": self.headers.get("git-protocol", ""),
                "CONTENT_LENGTH": str(len(sent)),
            }
            done = subprocess.run(["git", "http-backend"], input=sent, env=env, capture_output=True)
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            rows = [row.split(": ", 1) for row in head.decode().split("\r\n")]
            fields = {name.lower(): value for name, value in rows}
            self.send_response(int(fields.pop("status", "200 OK").split()[0]))
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def _sent(self) -> bytes:
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("content-length", "0")))
            sent = b""
            while size := int(self.rfile.readline(), 16):
                sent += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return sent

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(secret)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()

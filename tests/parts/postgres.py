"""A real PostgreSQL server as one process on loopback, from Debian's packages."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

START_SECONDS = 60
ADMIN = "not-a-real-secret"


@dataclass(frozen=True)
class Server:
    """Where it listens; its database is `postgres`."""

    port: int
    programs: Path

    def sql(self, text: str) -> str:
        """As its administrator; what it answers, unaligned."""
        return self.psql(self.port, "postgres", text, user="postgres").stdout

    def psql(
        self, port: int, database: str, *texts: str, user: str = "anybody"
    ) -> subprocess.CompletedProcess[str]:
        """The usual client, each text one query of one session."""
        command = [str(self.programs / "psql"), "-XAt", "-h", "127.0.0.1", "-p", str(port)]
        command += ["-U", user, "-d", database, *(w for text in texts for w in ("-c", text))]
        env = os.environ | ({"PGPASSWORD": ADMIN} if user == "postgres" else {})
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
        assert user != "postgres" or done.returncode == 0, done.stderr
        return done

    def url(self, user: str, password: str) -> str:
        """As the operator declares it."""
        where = f"127.0.0.1:{self.port}/postgres"
        return f"postgresql://{user}:{password}@{where}?sslmode=disable"


@contextlib.contextmanager
def running(method: str = "scram-sha-256") -> Iterator[Server]:
    """A server that asks for passwords; skips where Debian's packages are not installed."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="kn-pg-"))
    try:
        secret = folder / "secret"
        secret.write_text(ADMIN)
        as_user = _as_user(folder)
        port = _free_port()
        made = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", "postgres"]
        made += [
            "-A",
            method,
            "--pwfile",
            str(secret),
            "--no-sync",
            "-E",
            "UTF8",
            "--locale",
            "C.UTF-8",
        ]
        subprocess.run([*as_user, *made], check=True, capture_output=True, cwd=folder)
        options = {"port": port, "listen_addresses": "127.0.0.1", "fsync": "off",
                   "unix_socket_directories": "", "password_encryption": method}  # fmt: skip
        serve = [str(programs / "postgres"), "-D", str(folder / "data")]
        serve += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([*as_user, *serve], stdout=log, stderr=log, cwd=folder)
        try:
            _wait(port, process, folder / "log")
            yield Server(port, programs)
        finally:
            process.send_signal(2)  # without waiting for clients
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        if os.environ.get("CI") or os.environ.get("KNIFY_CI"):
            pytest.fail("PostgreSQL is missing: KNIFY_TEST_SERVERS=1 make setup")
        pytest.skip("needs Debian's package postgresql")
    return found[-1].parent


def _as_user(folder: Path) -> list[str]:
    """It refuses to run as root."""
    if os.geteuid() != 0:
        return []
    for path in (folder, *folder.iterdir()):
        shutil.chown(path, "postgres", "postgres")
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while b"database system is ready to accept connections" not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')}")
        time.sleep(0.05)

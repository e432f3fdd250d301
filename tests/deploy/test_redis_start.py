"""deploy/redis/start.sh hands Redis its users and a bound; the server itself is a stand-in."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "redis" / "start.sh"
PLACES = ("/run/secrets", "/run/redis", "/etc/knify", "/proc/meminfo", "/sys/fs/cgroup")
GIB = 1024**3


def started(folder: Path, machine: int, limits: dict[str, str]) -> list[str]:
    """What the server is started with, on a machine with so much memory and these limits."""
    for place in PLACES:
        (folder / place[1:]).parent.mkdir(parents=True, exist_ok=True)
    for place in (*PLACES[:3], "/sys/fs/cgroup/memory"):
        (folder / place[1:]).mkdir(parents=True)
    for name in re.findall(r"\$\(hash (\w+)\)", SCRIPT.read_text()):
        (folder / "run/secrets" / name).write_text(f"{name}\n")
    (folder / "proc/meminfo").write_text(f"MemTotal:     {machine // 1024} kB\nMemFree: 1 kB\n")
    for name, text in limits.items():
        (folder / "sys/fs/cgroup" / name).write_text(f"{text}\n")
    users = SCRIPT.with_name("users.acl").read_text()
    (folder / "etc/knify/users.acl").write_text(users)
    server = folder / "valkey-server"
    server.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    server.chmod(0o755)
    text = SCRIPT.read_text()
    for place in PLACES:
        text = text.replace(place, f"{folder}{place}")
    environ = {"PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", text], env=environ, capture_output=True, text=True, timeout=10
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("limits", "bound"),
    [
        ({"memory.max": str(2 * GIB)}, 2 * GIB),
        ({"memory/memory.limit_in_bytes": str(GIB)}, GIB),
        ({"memory/memory.limit_in_bytes": "9223372036854771712"}, 8 * GIB),  # as much as there is
        ({"memory.max": "max"}, 8 * GIB),
        ({}, 8 * GIB),
    ],
)
def test_redis_is_bounded_below_what_it_may_take(
    tmp_path: Path, limits: dict[str, str], bound: int
) -> None:
    words = started(tmp_path, 8 * GIB, limits)

    assert words[0].endswith("/etc/knify/redis.conf")
    assert words[1] == "--maxmemory"
    assert bound * 0.59 < int(words[2]) <= bound * 0.6


def test_its_users_have_hashes_and_no_other_reads_them(tmp_path: Path) -> None:
    started(tmp_path, GIB, {})
    file = tmp_path / "run/redis/users.acl"

    assert file.stat().st_mode & 0o077 == 0
    for line in file.read_text().splitlines()[1:]:
        assert len(line.split("#")[1].split()[0]) == 64

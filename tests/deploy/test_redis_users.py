"""What Redis's users of deploy/redis/users.acl may do, and that Flower has all that it needs."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from knify import hints
from tests.parts import redis as redis_part
from tests.parts.stack import eventually

PROJECT = Path(__file__).resolve().parents[2]
USERS = (PROJECT / "deploy" / "redis" / "users.acl").read_text()
#: A worker that takes messages as ours do, and does nothing.
STANDIN = """
import os
from celery import Celery
from knify import hints
app = Celery("knify")
hints.configure(app, os.environ["KNIFY_REDIS_URL"])
app.conf.worker_enable_remote_control = False
@app.task(name=hints.ADVANCE)
def advance(execution_id):
    pass
"""


def may(client: Any, *command: str) -> bool:
    return bool(client.execute_command("ACL", "DRYRUN", "flower", *command) == "OK")


@pytest.fixture
def client(redis_server: redis_part.Server) -> Iterator[Any]:
    """The operator's, of a server that knows Flower."""
    found = redis_server.client()
    (rules,) = re.findall(r"^user flower on #\S+ (.+)$", USERS, re.MULTILINE)
    found.execute_command("ACL", "SETUSER", "flower", "reset", "on", "nopass", *rules.split())
    yield found
    found.execute_command("ACL", "DELUSER", "flower")


def test_flower_speaks_on_celerys_channels_and_gives_no_job_an_order(client: Any) -> None:
    assert may(client, "PUBLISH", "/0.celery.pidbox", "{}")
    assert may(client, "PSUBSCRIBE", "/0.celeryev/*")
    for channel in ("knify:node:n1", "knify:webhooks", "knify:cron", "knify:t:default"):
        assert not may(client, "PUBLISH", channel, "kill job_1")
        assert not may(client, "SUBSCRIBE", channel)
    assert not may(client, "PSUBSCRIBE", "*")


def test_flower_counts_messages_and_reads_no_record(client: Any) -> None:
    for queue in ("knify", "knify.node.n1", "knify\x06\x163", "knify.node.n1\x06\x169"):
        assert may(client, "LLEN", queue)
        assert not may(client, "LPUSH", queue, "message")
    for command in (("HGETALL", "knify:x:job_1"), ("GET", "knify:clock"), ("HGETALL", "unacked")):
        assert not may(client, *command)
    for command in (("FLUSHALL",), ("CONFIG", "GET", "*"), ("KEYS", "*"), ("ACL", "LIST")):
        assert not may(client, *command)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[Any, str, int]]:
    """The operator's client of a server with all users, the workers' URL, and Flower's port."""
    users = re.sub(r"#([A-Z]+)", lambda m: "#" + hashlib.sha256(m[1].encode()).hexdigest(), USERS)
    (tmp_path / "users.acl").write_text(users)
    (tmp_path / "standin.py").write_text(STANDIN)
    port, flower_port = free_port(), free_port()
    ours = f"redis://knify:KNIFY@127.0.0.1:{port}/0"
    flowers = f"redis://flower:FLOWER@127.0.0.1:{port}/0"
    options = f"('--port={flower_port}', *flower._OPTIONS[1:])"
    code = f"from workers import flower; flower._OPTIONS = {options}; flower.main()"
    server = f"--bind 127.0.0.1 --port {port} --dir {tmp_path} --aclfile {tmp_path}/users.acl"
    worker = "-m celery -A standin worker -E --pool=threads --concurrency=1 -Q knify,knify.node.n1"
    commands = {
        (redis_part.binary(), *server.split(), "--save", ""): "",
        (sys.executable, *worker.split()): ours,
        (sys.executable, "-c", code): flowers,
    }
    own = {"PYTHONPATH": f"{PROJECT}:{tmp_path}", "KNIFY_HOME": str(tmp_path)}
    environ = os.environ | own | {"KNIFY_FLOWER_PASSWORD": "words"}
    with (tmp_path / "log").open("w") as log:
        processes = [
            subprocess.Popen(
                argv, env=environ | {"KNIFY_REDIS_URL": url}, cwd=tmp_path, stdout=log, stderr=log
            )
            for argv, url in commands.items()
        ]
    operator = redis.Redis(
        port=port, username="operator", password="OPERATOR", decode_responses=True
    )
    yield operator, ours, flower_port
    for process in reversed(processes):
        process.kill()
        process.wait()


@pytest.mark.slow
def test_flower_shows_workers_tasks_and_queues_and_is_refused_nothing(
    started: tuple[Any, str, int],
) -> None:
    pytest.importorskip("flower")
    operator, url, flower_port = started

    def shown(path: str) -> Any:
        account = base64.b64encode(b"knify:words").decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{flower_port}{path}", headers={"Authorization": f"Basic {account}"}
        )
        try:
            return json.load(urllib.request.urlopen(request, timeout=20))
        except OSError:
            return None

    eventually(lambda: (shown("/workers?json=1") or {}).get("data"), seconds=60)
    sender = hints.CeleryHints(url)
    sender.advance("job_1")
    sender.advance("job_2", "n1")

    eventually(lambda: len(shown("/api/tasks") or ()) == 2)
    tasks = shown("/api/tasks").values()
    assert {task["args"] for task in tasks} == {"['job_1']", "['job_2']"}
    eventually(lambda: shown("/workers?json=1")["data"][0]["task-succeeded"] == 2)
    queues = {one["name"] for one in shown("/api/queues/length")["active_queues"]}
    assert queues == {"knify"}  # others it would hear of by remote control
    assert operator.execute_command("ACL", "LOG") == []

"""Redis's user for backups may make one, and no more; on a real server."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from knify import core as core_module
from knify import hints, install, settings
from knify.backup import restore, save
from knify.core import Core
from knify.services import history, uploads
from tests.deploy.test_compose import PROJECT
from tests.parts import redis as redis_part

FILES = {
    "knify": "redis_password", "flower": "redis_flower_password",
    "backup": "redis_backup_password", "operator": "redis_operator_password",
}  # fmt: skip


@pytest.fixture
def served(tmp_path: Path) -> Iterator[redis_part.Server]:
    """With the users as start.sh writes them; each one's password is its name."""
    here, secrets = tmp_path / "r", tmp_path / "secrets"
    here.mkdir()
    secrets.mkdir()
    for user, file in FILES.items():
        (secrets / file).write_text(f"{user}\n")
    script = (PROJECT / "deploy/redis/start.sh").read_text()
    head = script[: script.index("/etc/knify/users.acl >") + len("/etc/knify/users.acl >")]
    users = str(PROJECT / "deploy/redis/users.acl")
    head = head.replace("/etc/knify/users.acl >", f"{users} >> {here}/users.acl")
    head = head.replace("/run/secrets", str(secrets))
    subprocess.run(["sh", "-c", head], check=True)
    server = redis_part.start(here)
    client = server.client()
    for line in (here / "users.acl").read_text().splitlines()[::-1]:  # `default off` comes last
        _, name, *rules = line.split(" ")
        client.execute_command("ACL", "SETUSER", name, *_rules(rules))
    yield server
    server.stop()


def _rules(words: list[str]) -> list[str]:
    """As the server reads them: what stands in parentheses is one."""
    text = " ".join(words)
    before, bracket, rest = text.partition("(")
    return [*before.split(), *([bracket + rest] if bracket else [])]


def test_the_user_of_backups_may_make_one_and_nothing_else(
    served: redis_part.Server, tmp_path: Path
) -> None:
    core = _core(served, "knify", tmp_path / "home")
    install.install(core.settings)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("a.txt"))
    file.seek(0)
    digest = hashlib.sha256(file.getvalue()).hexdigest()
    uploads.upload(core, "default", "app", file, sha256=digest, aside=history.here)

    saved = save.save(
        _core(served, "backup", tmp_path / "home"), tmp_path / "b.tar", passphrase=None
    )

    operator = redis.Redis.from_url(_url(served, "operator"), decode_responses=True)
    assert saved.objects == 1
    assert operator.execute_command("ACL", "LOG") == []  # nobody was refused anything
    for words in (
        "GET knify:t:default", "KEYS *", "SCAN 0", "FLUSHALL", "CONFIG GET dir", "DEL knify:schema",
        "SET knify:installation x", "GET knify:keep", "EVAL x 0", "ACL LIST", "PUBLISH a b",
        "SHUTDOWN", "REPLICAOF a 1", "MONITOR", "DEBUG SLEEP 1", "CLIENT KILL TYPE normal",
    ):  # fmt: skip
        told = operator.execute_command("ACL", "DRYRUN", "backup", *words.split())
        assert "no permissions" in str(told), words
    # What it takes to put a backup back, the parts' own user may.
    restore.restore(core.settings, saved.path, passphrase=None, replace=True)
    assert install.install(core.settings) is not None  # a new admin key: that one was not in it
    assert operator.execute_command("ACL", "LOG") == []


def test_no_user_but_backups_and_the_operator_reads_redis_as_a_replica(
    served: redis_part.Server,
) -> None:
    operator = redis.Redis.from_url(_url(served, "operator"), decode_responses=True)
    may = {u for u in FILES if operator.execute_command("ACL", "DRYRUN", u, "SYNC") == "OK"}

    assert may == {"backup", "operator"}
    with pytest.raises(redis.AuthenticationError):
        served.client().ping()


def _url(server: redis_part.Server, user: str) -> str:
    return f"unix://{user}:{user}@{server.folder}/redis.sock"


def _core(server: redis_part.Server, user: str, home: Path) -> Core:
    known = {"KNIFY_HOME": str(home), "KNIFY_REDIS_URL": _url(server, user)}
    return core_module.connect(settings.load(known), hints.RecordedHints())

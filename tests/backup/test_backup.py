"""A backup holds a whole installation, and becomes one again; on real Redis servers."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from knify import core as core_module
from knify import errors, hints, install, settings
from knify.backup import archive, restore, save, snapshot
from knify.core import Core
from knify.host import redis_server
from knify.lifecycle import State
from knify.services import history, jobs, keys, packing, schedules, secrets, uploads
from knify.store import executions, ready
from tests.parts import s3

WORDS = "correct horse battery"
#: What a restore changes on purpose.
OWN = {"knify:epoch", "knify:rolled_at", "knify:clock", "knify:keep"}


def connected(home: Path, **environ: str) -> Core:
    """The core of a home, with a base image that nobody has to have."""
    known = {"KNIFY_HOME": str(home), "KNIFY_BASE_IMAGE": "fake"}
    return core_module.connect(settings.load(known | environ), hints.RecordedHints())


@pytest.fixture
def full(redis_url: str, tmp_path: Path) -> Core:
    """An installation with a bit of all: see `fill`."""
    core = connected(tmp_path / "old", KNIFY_REDIS_URL=redis_url)
    install.install(core.settings)
    fill(core)
    return core


def fill(core: Core) -> None:
    """A key, a secret, a schedule, a workspace; jobs that ended, run and wait."""
    keys.create(core, "default", name="ci")
    secrets.put(core, "default", "db", "s3cret-of-db")
    body = {"name": "nightly", "command": "date", "schedule": "30 4 * * *"}
    schedules.create(core, "default", "p", body, id="jobdef_1")
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        info = tarfile.TarInfo("a.txt")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"hello"))
    file.seek(0)
    digest = hashlib.sha256(file.getvalue()).hexdigest()
    uploads.upload(core, "default", "app", file, sha256=digest, aside=history.here)
    for name in ("ended", "running", "waiting"):
        request = {"job_type": "command_task", "command": "date", "metadata": {"is": name}}
        jobs.submit(core, "default", jobs.Submission(request, id=f"job_{name}"))
    for name in ("ended", "running"):
        x = run(core, f"job_{name}")
        if name == "ended":
            sandbox = {"state": "paused"}
            core.store.executions.move(x, State.FAILED, sandbox=sandbox, error="as planned")
    packing.pack(core, "job_ended")
    running = core.store.executions.find("job_running")
    assert running is not None
    core.store.executions.append(running, ['{"t":1,"e":[],"l":"hé"}'], lines=1, out=3, err=0)


def run(core: Core, job: str) -> Any:
    """As a worker does until its command runs."""
    store = core.store.executions
    x = store.claim(job, owner="n/b/1/1", node="n", lease_ms=60_000, slots=9).execution
    assert x is not None
    for state, more in (
        (State.STAGING, {}),
        (State.PROVISIONING, {"sandbox": {"node": "n"}}),
        (State.READY, {"sandbox": {"state": "active", "container": "c"}}),
        (State.RUNNING, {"started_at": executions.NOW}),
    ):
        x = store.move(x, state, **more).execution
    return x


def content(core: Core) -> dict[str, list[Any]]:
    """All that Redis holds of it, but what a moment leaves."""
    client = redis.Redis.from_url(core.settings.redis)
    found: dict[str, list[Any]] = {}
    for line in snapshot.lines(client):
        values = line["v"] if line["t"] in ("list", "stream") else sorted(map(str, line["v"]))
        if line["k"] not in OWN:
            found.setdefault(line["k"], []).extend([line["t"], line["x"] is not None, *values])
    return found


@contextmanager
def private_redis(config: settings.Settings) -> Iterator[None]:
    """As `knify up` starts it."""
    process = subprocess.Popen(redis_server.command(config), stdout=subprocess.DEVNULL)
    try:
        ready.wait(config, lambda text: None, 10)
        yield
    finally:
        process.terminate()
        process.wait()


def test_a_whole_installation_comes_back_into_an_empty_home(full: Core, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    saved = save.save(full, tmp_path / "out", passphrase=WORDS)
    new = _settings(tmp_path / "new")

    done = restore.restore(new, saved.path, passphrase=WORDS)

    assert (saved.path.stat().st_mode & 0o777, saved.missing) == (0o600, 0)
    assert done.installation == install.marked(full.settings) == install.marked(new)
    with private_redis(new):
        assert install.install(new) is None  # the first admin key is the old one
        core = core_module.connect(new, hints.RecordedHints())
        assert content(core) == content(full)
        admin = install.key_file(new).read_text().strip()
        assert keys.authenticate(core, admin).tenant == "default"
        assert secrets.value(core, "default", "db") == "s3cret-of-db"
        assert core.store.definitions.find("jobdef_1") is not None
        workspace = core.store.workspaces.named("default", "app")
        assert workspace is not None
        with core.sealed.open(workspace.key) as reader:
            assert b"hello" in reader.read()
        ended = core.store.executions.find("job_ended")
        assert ended is not None
        assert (ended.packed, ended.error) == (True, "as planned")
        # Fences of before the backup are too small for what is done from now on.
        claim = core.store.executions.claim(
            "job_running", owner="n/b/2/2", node="n", lease_ms=9_000, slots=9, dead="n/b/1/1"
        )
        assert claim.execution is not None
        assert claim.execution.fence > 2**32


def _settings(home: Path) -> settings.Settings:
    return settings.load({"KNIFY_HOME": str(home), "KNIFY_BASE_IMAGE": "fake"})


@pytest.fixture
def plain(full: Core, tmp_path: Path) -> Path:
    """A backup without the master key."""
    return save.save(full, tmp_path / "b.tar", passphrase=None).path


def test_without_its_master_key_a_backup_asks_for_the_operators(
    full: Core, plain: Path, tmp_path: Path
) -> None:
    new = _settings(tmp_path / "new")

    with pytest.raises(errors.ConfigError, match="holds no master key"):
        restore.restore(new, plain, passphrase=None)
    assert not new.home.exists()
    new.home.mkdir()
    new.master_key_file.write_bytes(full.settings.master_key_file.read_bytes())
    new.master_key_file.chmod(0o600)
    restore.restore(new, plain, passphrase=None)

    assert install.marked(new) == install.marked(full.settings)
    assert b"AGE-SECRET-KEY" not in plain.read_bytes()


def test_what_holds_something_is_not_overwritten_unasked(full: Core, plain: Path) -> None:
    with pytest.raises(errors.ConfigError, match="not empty"):
        restore.restore(full.settings, plain, passphrase=None)
    elsewhere = dataclasses.replace(full.settings, home=full.settings.home.parent / "other")
    elsewhere.home.mkdir()
    with pytest.raises(errors.ConfigError, match="Redis holds"):
        restore.restore(elsewhere, plain, passphrase=None)

    before = content(full)
    restore.restore(full.settings, plain, passphrase=None, replace=True)
    assert content(full) == before


@pytest.mark.parametrize("at", [b'"installation"', b"\x28\xb5\x2f\xfd", b"  backup.json"])
def test_a_damaged_backup_changes_nothing(plain: Path, tmp_path: Path, at: bytes) -> None:
    data = bytearray(plain.read_bytes())
    data[data.index(at) + 2] ^= 1  # of its head, its records, its checksums
    plain.write_bytes(data)

    with pytest.raises(errors.ConfigError, match=r"damaged|no backup|holds"):
        restore.restore(_settings(tmp_path / "new"), plain, passphrase=None)

    assert not (tmp_path / "new").exists()


def test_a_backup_that_was_cut_off_is_refused(plain: Path, tmp_path: Path) -> None:
    plain.write_bytes(plain.read_bytes()[:-30_000])

    with pytest.raises(errors.ConfigError):
        archive.verify(plain)


def test_nothing_expires_while_a_backup_is_made(full: Core, tmp_path: Path) -> None:
    seen = []
    listing = full.objects.list

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(full.objects, name)

        def list(self, prefix: str = "") -> Any:
            seen.append(full.store.registry.keeps_all())
            return listing(prefix)

    watched = dataclasses.replace(full, objects=Watched())  # type: ignore[arg-type]
    save.save(watched, tmp_path / "b.tar", passphrase=None)

    assert (seen, full.store.registry.keeps_all()) == ([True], False)


@pytest.mark.slow
def test_objects_go_from_s3_to_a_folder_and_back(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3.running(tmp_path) as server:
        for name, value in server.environ().items():
            monkeypatch.setenv(name, value)
        there = {
            "KNIFY_OBJECT_STORE": f"s3://{server.bucket}/old",
            "KNIFY_S3_ENDPOINT_URL": server.endpoint_url,
        } | server.environ()
        core = connected(tmp_path / "old", KNIFY_REDIS_URL=redis_url, **there)
        install.install(core.settings)
        fill(core)
        rows = {row.key for row in core.objects.list()}

        first = save.save(core, tmp_path / "1.tar", passphrase=None).path
        folder = _settings(tmp_path / "folder")
        restore_with_key(core, folder, first)
        with private_redis(folder):
            local = core_module.connect(folder, hints.RecordedHints())
            second = save.save(local, tmp_path / "2.tar", passphrase=None).path
        there["KNIFY_OBJECT_STORE"] = f"s3://{server.bucket}/new"
        config = settings.load({"KNIFY_HOME": str(tmp_path / "back")} | there)
        restore_with_key(core, config, second)

        again = core_module.connect(config, hints.RecordedHints()).objects
        assert {row.key for row in again.list()} == {r.key for r in local.objects.list()} == rows


def restore_with_key(core: Core, into: settings.Settings, path: Path) -> None:
    into.master_key_file.parent.mkdir(parents=True)
    into.master_key_file.write_bytes(core.settings.master_key_file.read_bytes())
    into.master_key_file.chmod(0o600)
    restore.restore(into, path, passphrase=None)

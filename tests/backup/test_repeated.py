"""A restore that is refused changes nothing, and one that died is begun anew, wherever it died."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

import pyrage
import pytest
import redis

from knify import errors, install, settings
from knify.backup import archive, keyfiles, restore, save, snapshot
from knify.core import Core
from knify.objects import folder
from tests.backup.test_backup import content, full, plain
from tests.retention.dying import dying

__all__ = ["full", "plain"]

#: Whatever changes something or asks Redis.
CALLS = (
    (redis.Redis, "execute_command"),
    (redis.client.Pipeline, "execute"),
    (keyfiles, "write"),
    (os, "link"),
    (Path, "replace"),
    (Path, "unlink"),
    (shutil, "rmtree"),
    (folder.Folder, "put"),
)
LIST, STREAM = "knify:s:sandbox_1:turns", "knify:x:job_1:events"


@pytest.fixture
def elsewhere(full: Core, tmp_path: Path) -> settings.Settings:
    """A home of its own beside the operator's Redis, with the installation's master key."""
    home = tmp_path / "new"
    home.mkdir()
    (home / "master.key").write_bytes(full.settings.master_key_file.read_bytes())
    (home / "master.key").chmod(0o600)
    return dataclasses.replace(
        full.settings,
        home=home,
        object_store=f"file://{home}/objects",
        master_key_file=home / "master.key",
    )


def test_what_a_dead_restore_left_in_redis_is_refused_and_replaced(
    full: Core, plain: Path, elsewhere: settings.Settings
) -> None:
    """It died before it came to the installation's name."""
    before = content(full)
    full.store.client.flushall()
    full.store.client.rpush(LIST, "job_1", "job_2")
    full.store.client.xadd(STREAM, {"a": "b"}, id="9-0")

    with pytest.raises(errors.ConfigError, match="a part of one: say --replace"):
        restore.restore(elsewhere, plain, passphrase=None)
    assert full.store.client.dbsize() == 2
    assert sorted(path.name for path in elsewhere.home.iterdir()) == ["master.key"]
    restore.restore(elsewhere, plain, passphrase=None, replace=True)

    assert content(full) == before


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("replace", [False, True])
def test_a_restore_dying_at_any_call_is_begun_anew(
    full: Core,
    plain: Path,
    elsewhere: settings.Settings,
    replace: bool,
    when: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snapshot, "_BATCH", 10)
    monkeypatch.setattr(restore, "_BATCH", 10)
    before, ended, n = content(full), False, 0
    while not ended:
        if not replace:
            full.store.client.flushall()
            for path in elsewhere.home.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path.name != "master.key":
                    path.unlink()
        stood = content(full)
        with dying(n, when, *CALLS):
            restore.restore(elsewhere, plain, passphrase=None, replace=replace)
            ended = True
        if content(full) not in (before, stood):  # no start goes on from a half
            with pytest.raises(errors.ConfigError, match="did not end"):
                install.install(elsewhere)
        restore.restore(elsewhere, plain, passphrase=None, replace=True)
        assert content(full) == before
        assert install.marked(elsewhere) == install.marked(full.settings)
        install.install(elsewhere)
        n += 1
    assert n > 20


def test_a_connection_that_breaks_ends_the_restore_with_the_cure(
    full: Core, plain: Path, elsewhere: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is said twice: a repeated RPUSH doubles a list."""
    full.store.client.flushall()
    breaks = iter([True])
    execute = redis.client.Pipeline._execute_pipeline

    def broken(self: Any, *arguments: Any) -> Any:
        found = execute(self, *arguments)
        if next(breaks, False):
            raise redis.ConnectionError("it broke when all was sent")
        return found

    monkeypatch.setattr(redis.client.Pipeline, "_execute_pipeline", broken)
    with pytest.raises(errors.ConfigError, match=r"it broke.*begin anew with --replace"):
        restore.restore(elsewhere, plain, passphrase=None)
    with pytest.raises(errors.ConfigError, match=r"did not end: begin anew with --replace"):
        restore.restore(elsewhere, plain, passphrase=None)


@pytest.fixture
def sealed(full: Core, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A backup with its keys; they are not really sealed, which takes seconds."""
    monkeypatch.setattr(pyrage.passphrase, "encrypt", lambda data, words: b"sealed " + data)
    monkeypatch.setattr(keyfiles, "_unsealed", lambda data, words: data.removeprefix(b"sealed "))
    return save.save(full, tmp_path / "sealed.tar", passphrase="words").path


def test_another_master_key_is_kept_and_replaced_only_when_asked(
    full: Core, sealed: Path, elsewhere: settings.Settings
) -> None:
    key = elsewhere.home.parent / "keys" / "master.key"
    key.parent.mkdir()
    ours = elsewhere.master_key_file.read_bytes()
    elsewhere.master_key_file.unlink()
    elsewhere = dataclasses.replace(elsewhere, master_key_file=key)
    full.store.client.flushall()
    kept = [key.with_name(f"master.key.before-restore{n}") for n in ("", ".2")]
    for number, other in enumerate((b"one\n", b"two\n", b"two\n")):
        key.write_bytes(other)
        with pytest.raises(errors.ConfigError, match=r"holds another key.*--replace"):
            restore.restore(elsewhere, sealed, passphrase="words")
        assert key.read_bytes() == other
        restore.restore(elsewhere, sealed, passphrase="words", replace=True)

        assert key.read_bytes() == ours
        assert kept[0].read_bytes() == b"one\n"
        assert not number or kept[1].read_bytes() == b"two\n"
        shutil.rmtree(elsewhere.home / "objects")
        for name in ("installation", "admin.key"):
            (elsewhere.home / name).unlink()
        full.store.client.flushall()
    assert key.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("full_of", ["redis", "objects"])
def test_a_refused_restore_leaves_the_keys_and_lets_knify_start(
    full: Core, sealed: Path, elsewhere: settings.Settings, full_of: str
) -> None:
    elsewhere.master_key_file.unlink()
    if full_of == "objects":
        elsewhere = dataclasses.replace(elsewhere, object_store=full.settings.object_store)
        full.store.client.flushall()

    with pytest.raises(errors.ConfigError, match=r"say --replace"):
        restore.restore(elsewhere, sealed, passphrase="words")

    assert list(elsewhere.home.iterdir()) == []


def test_records_alone_go_back_beside_the_objects_that_are_there(
    full: Core, elsewhere: settings.Settings, tmp_path: Path
) -> None:
    saved = save.save(full, tmp_path / "records.tar", passphrase=None, objects=False)
    beside = dataclasses.replace(elsewhere, object_store=full.settings.object_store)
    before = content(full)
    full.store.client.flushall()

    restore.restore(beside, saved.path, passphrase=None)

    assert (content(full), saved.objects) == (before, 0)


def test_a_backup_that_lost_its_master_key_says_so(
    full: Core, sealed: Path, elsewhere: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "KEYS", "none/")

    with pytest.raises(errors.ConfigError, match="says that it holds a master key"):
        restore.restore(elsewhere, sealed, passphrase="words", replace=True)

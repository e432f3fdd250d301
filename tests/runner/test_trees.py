"""Workspaces on a node: unpacked once, copied for each sandbox, whoever dies when."""

from __future__ import annotations

import fcntl
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from knify import errors, model, runner, settings
from knify.archives import entries
from knify.core import Core
from knify.services import trees, uploads
from tests.runner.rig import Rig, Worker, die

BOOT = "boot"


def upload(core: Core, name: str = "w", content: bytes = b"hello") -> model.Workspace:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, data, mode in (("a.txt", content, 0o640), ("d/run", b"#!/bin/sh\n", 0o755)):
            info = tarfile.TarInfo(path)
            info.size, info.mode, info.mtime = len(data), mode, 1_700_000_000
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("d/link")
        link.type, link.linkname = tarfile.SYMTYPE, "../a.txt"
        tar.addfile(link)
    out.seek(0)
    return uploads.upload(core, "default", name, out, "", aside=lambda work: work()).workspace


def folder(core: Core) -> Path:
    return core.settings.home / "cache" / "workspaces" / BOOT


def limited(core: Core, size: int) -> Core:
    return replace(core, settings=replace(core.settings, workspace_cache_bytes=size))


def count_opens(core: Core, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    opened = type(core.sealed).open

    def open_(self: object, key: str) -> object:
        seen.append(key)
        return opened(core.sealed, key)

    monkeypatch.setattr(type(core.sealed), "open", open_)
    return seen


def test_the_tenth_job_of_a_workspace_unpacks_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, worker = upload(rig.core), Worker(rig)
    opened = count_opens(rig.core, monkeypatch)
    rig.script("job")

    for _ in range(10):
        job = rig.submit("job", workspace_path="/workspaces/w")
        worker.advance(job)
        x = rig.ended(job)
        assert x.state == "completed", rig.stages(job)
        root = rig.host.volumes[x.sandbox_id or ""]["workspace"]
        assert (root / "a.txt").read_bytes() == b"hello"
        assert (root / "d/link").readlink() == Path("../a.txt")
        assert (root / "d/run").stat().st_mode & 0o777 == 0o755
        assert (root / "a.txt").stat().st_mtime == 1_700_000_000
        (root / "a.txt").write_bytes(b"changed by its sandbox only")
        stages = rig.stages(job)
        assert stages.index("sandbox_created") < stages.index("workspace_mounted")

    assert opened == [workspace.key]
    assert not {"put_tar", "untar"} & set(rig.host.calls)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("n", range(8, 22, 2))
def test_a_job_begins_with_its_files_whoever_dies_over_them(
    rig: Rig, n: int, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(rig.core)
    rig.script("job")
    job, victim = rig.submit("job", workspace_path="/workspaces/w"), Worker(rig)
    with monkeypatch.context() as patch:
        die(rig, victim, n, when, patch)
        victim.advance(job)
    victim.vanish()

    worker = Worker(rig)
    worker.advance(job)

    x = rig.ended(job)
    assert x.state == "completed", rig.stages(job)
    assert rig.starts(job) == 1


def test_the_oldest_leave_for_new_ones_unless_in_use(rig: Rig) -> None:
    one, two, three = (upload(rig.core, f"w{n}", b"%d" % n * 1000) for n in range(3))
    cache = trees.Trees(limited(rig.core, 50_000), BOOT)
    with cache.tree(one), cache.tree(two), cache.tree(three) as last:
        assert last is not None  # 1 KB and 5 blocks each
    for workspace, used in ((one, 3), (two, 1), (three, 2)):
        os.utime(folder(rig.core) / workspace.key.split("/")[1], (used, used))
    small = trees.Trees(limited(rig.core, 40_000), BOOT)

    four = upload(rig.core, "w4", b"4" * 1000)
    with cache.tree(two) as held, small.tree(four) as made:
        assert held is not None and made is not None
        assert (held / "a.txt").exists()

    left = {path.name for path in folder(rig.core).iterdir() if path.is_dir()}
    assert left == {w.key.split("/")[1] for w in (two, four)}


def test_what_is_too_large_or_switched_off_is_sent_in_as_before(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig, "core", limited(rig.core, 0))
    upload(rig.core)
    rig.script("job")

    job = rig.submit("job", workspace_path="/workspaces/w")
    Worker(rig).advance(job)

    assert rig.ended(job).state == "completed"
    assert "seed" not in rig.host.calls
    assert not folder(rig.core).exists()


def test_many_jobs_at_once_unpack_it_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = upload(rig.core)
    opened = count_opens(rig.core, monkeypatch)
    found: list[bool] = []

    def use() -> None:
        while True:
            try:
                with trees.Trees(rig.core, BOOT).tree(workspace) as tree:
                    found.append(tree is not None and (tree / "a.txt").read_bytes() == b"hello")
                return
            except errors.NodeBusy:
                continue

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert found == [True] * 8
    assert opened == [workspace.key]


def test_a_job_whose_workspace_another_unpacks_is_given_back_and_taken_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "_WAIT", 0.0)
    monkeypatch.setattr(runner, "_BUSY_DELAY", 0)
    workspace, worker = upload(rig.core), Worker(rig)
    rig.script("job")
    job = rig.submit("job", workspace_path="/workspaces/w")
    root = rig.core.settings.home / "cache" / "workspaces" / worker.leases.owner.boot_id
    root.mkdir(parents=True)

    with (root / f"{workspace.key.split('/')[1]}.lock").open("ab") as unpacking:
        fcntl.flock(unpacking, fcntl.LOCK_EX)
        worker.advance(job)  # returns
        waiting = rig.job(job)
        assert (waiting.state, waiting.owner, waiting.attempts) == ("provisioning", None, 0)

    worker.advance(job)
    assert rig.ended(job).state == "completed", rig.stages(job)
    assert rig.host.calls.count("seed") == 1


def test_another_content_than_was_uploaded_never_enters(rig: Rig) -> None:
    workspace = upload(rig.core)
    other = upload(rig.core, "other", b"other")
    mixed = workspace.evolve(key=other.key)

    with (
        pytest.raises(errors.ObjectStoreError, match="not what was uploaded"),
        trees.Trees(rig.core, BOOT).tree(mixed),
    ):
        pass

    assert [path for path in folder(rig.core).iterdir() if path.is_dir()] == []


def test_deleted_workspaces_and_earlier_boots_leave(rig: Rig) -> None:
    cache, workspace, kept = (
        trees.Trees(rig.core, BOOT),
        upload(rig.core),
        upload(rig.core, "k", b"k"),
    )
    with cache.tree(workspace), cache.tree(kept):
        pass
    with trees.Trees(rig.core, "last boot").tree(kept):
        pass

    rig.core.store.workspaces.drop(workspace.id)
    cache.tidy()

    assert [path.name for path in folder(rig.core).parent.iterdir()] == [BOOT]
    names = {path.name for path in folder(rig.core).iterdir()}
    assert names == {kept.key.split("/")[1], kept.key.split("/")[1] + ".lock"}


_DYING = """
import sys
from knify import core, settings
from knify.services import trees
made = core.connect(settings.load())
workspace = made.store.workspaces.find(sys.argv[1])
with trees.Trees(made, "boot").tree(workspace):
    pass
made.store.workspaces.drop(workspace.id)
trees.Trees(made, "boot").tidy()
"""


@pytest.mark.parametrize(
    "point",
    ["cache.publish:before", "cache.publish:after", "cache.evict:before", "cache.evict:after"],
)
def test_a_kill_over_the_cache_leaves_it_whole(rig: Rig, point: str) -> None:
    workspace = upload(rig.core)
    config: settings.Settings = rig.core.settings
    environ = os.environ | {
        "KNIFY_HOME": str(config.home),
        "KNIFY_REDIS_URL": config.redis,
        "KNIFY_FAILPOINT": f"{point}:kill",
    }

    died = subprocess.run([sys.executable, "-c", _DYING, workspace.id], env=environ, check=False)

    assert died.returncode == -signal.SIGKILL
    again = upload(rig.core) if "evict" in point else workspace
    cache = trees.Trees(rig.core, BOOT)
    with cache.tree(again) as tree:
        assert tree is not None
        assert (tree / "a.txt").read_bytes() == b"hello"
    cache.tidy()
    assert len([path for path in folder(rig.core).iterdir() if path.is_dir()]) == 1
    assert list(folder(rig.core).glob("*.part")) == []


def test_its_limits_are_those_of_uploads() -> None:
    assert entries.Limits().depth < 256  # treecopy goes as deep

"""What belongs to an installation is told by labels, and who still works for it by processes."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import click.testing
import pytest

from knify import healthy, settings
from knify.cli import main
from knify.host import podman, purge


def process(proc: Path, pid: int, home: Path, *words: str) -> None:
    """One as /proc shows it; its root is this one's."""
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    (folder / "cmdline").write_bytes(b"\0".join(word.encode() for word in words) + b"\0")
    (folder / "environ").write_bytes(f"A=1\0KNIFY_HOME={home}\0".encode())
    (folder / "root").symlink_to("/")


@pytest.mark.skipif(os.geteuid() != 0, reason="looks at root's processes alone")
def test_a_living_worker_is_found_by_what_its_home_says(tmp_path: Path) -> None:
    marked, noted, proc = tmp_path / "marked", tmp_path / "noted", tmp_path / "proc"
    for home in (marked, noted):
        home.mkdir()
    (marked / "installation").write_text("inst_a\n")
    healthy.note(settings.load({"KNIFY_HOME": str(noted)}), "worker", "inst_b")
    process(proc, 11, marked, "python", "-m", "workers.main", "worker")
    process(proc, 12, noted, "python", "-m", "workers.main", "worker")
    process(proc, 13, marked, "python", "-m", "workers.main", "beat")
    process(proc, 14, marked, "python", "-m", "workers.main", "worker")
    os.chown(proc / "14", 10_001, 10_001)  # as one in a sandbox that calls itself a worker

    assert purge.workers("inst_a", proc) == [11]
    assert purge.workers("inst_b", proc) == [12]
    assert purge.workers("inst_c", proc) == []


def knify_purge(home: Path, *words: str) -> click.testing.Result:
    env = {"KNIFY_HOME": str(home)}
    return click.testing.CliRunner().invoke(main.cli, ["purge", *words], env=env)


def test_a_container_without_podman_says_where_to_purge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "installation").write_text("inst_a\n")
    monkeypatch.setattr(podman, "installed", lambda: False)

    refused = knify_purge(tmp_path)

    assert refused.exit_code == 2
    assert "knify purge --installation inst_a" in refused.output


def test_what_is_asked_says_what_goes_and_who_is_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "found", lambda conf: {"inst_a": (2, 5)})
    monkeypatch.setattr(purge, "workers", lambda installation: [])

    unknown = knify_purge(tmp_path, "--installation", "inst_x", "--yes")
    unsure = knify_purge(tmp_path, "--installation", "inst_a")
    monkeypatch.setattr(purge, "workers", lambda installation: [7])
    in_use = knify_purge(tmp_path, "--installation", "inst_a", "--yes")

    assert unknown.exit_code == 2 and "inst_a: 2 containers and 5 volumes" in unknown.output
    assert unsure.exit_code == 1 and "2 containers and 5 volumes of inst_a?" in unsure.output
    assert in_use.exit_code == 2 and "run here (7): stop them first" in in_use.output


@pytest.mark.podman
@pytest.mark.usefixtures("real_podman")
def test_an_installation_without_a_home_is_purged_by_its_id(tmp_path: Path) -> None:
    own, other = (f"inst_{secrets.token_hex(8)}" for _ in range(2))
    for name in (own, other):
        label = f"knify.installation={name}"
        assert podman.call("volume", "create", "--label", label, f"knify-{name}-home").ok
    try:
        done = knify_purge(tmp_path, "--installation", own, "--yes")

        assert done.output == "removed 0 containers and 1 volume\n"
        assert set(purge.found()) & {own, other} == {other}
    finally:
        podman.call("volume", "rm", "--force", f"knify-{own}-home", f"knify-{other}-home")

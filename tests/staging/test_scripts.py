"""The scripts that clone and diff, run here with a git server over TLS: what git does by them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from knify.staging import clone, patch
from tests.gateway import gitserver, web

BUSYBOX = shutil.which("busybox") or "/bin/busybox"
IDENTITY = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always")


class Place:
    """A workspace, and a server with repositories."""

    def __init__(self, folder: Path, served: Path, url: str, certificate: Path) -> None:
        self.folder = folder
        self.workspace = folder / "ws"
        self.workspace.mkdir()
        self.served = served
        self._url = url
        self._certificate = certificate

    def work(self, name: str) -> Path:
        return self.served / f"{name}.work"

    def publish(self, name: str) -> None:
        """All that there is in the work folder, as the next commit of the served one."""
        git(self.work(name), "add", "-A")
        git(self.work(name), "commit", "--quiet", "--allow-empty", "-m", "more")
        git(self.work(name), "push", "--quiet", str(self.served / name), "HEAD:main")

    def head(self, name: str, what: str = "HEAD") -> str:
        return git(self.work(name), "rev-parse", what).strip()

    def clone(self, name: str, **variables: str) -> subprocess.CompletedProcess[str]:
        names = dict.fromkeys(("REPO_BRANCH", "REPO_COMMIT", "REPO_SUBPATH"), "")
        names |= {"REPO_URL": f"{self._url}/{name}", "REPO_PROTOCOLS": "https"} | variables
        return self._run(clone.SCRIPT[3], names | {"GIT_SSL_CAINFO": str(self._certificate)})

    def patch(self, start: str) -> subprocess.CompletedProcess[str]:
        names = {"PATCH_START": start, "PATCH_SKIPPED": "node_modules .cache"}
        return self._run(patch.SCRIPT[3], names)

    def fresh(self, name: str, made: str) -> Path:
        """A fresh clone with the patch applied."""
        folder = self.folder / "fresh"
        git(self.folder, "clone", "--quiet", str(self.served / name), str(folder))
        subprocess.run(["git", "apply", "-"], cwd=folder, input=made, text=True, check=True)
        return folder

    def _run(self, script: str, names: dict[str, str]) -> subprocess.CompletedProcess[str]:
        here = {"/.knify/busybox": BUSYBOX, "/run/knify/patch": str(self.folder / "made")}
        for there, path in (here | {"/workspace": str(self.workspace)}).items():
            script = script.replace(there, path)
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder)} | names
        argv = [BUSYBOX, "sh", "-c", script, "script"]
        return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)


def git(folder: Path, *words: str) -> str:
    argv = ["git", *IDENTITY, *words]
    done = subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int, Path]]:
    """A folder that is served, on which port, and the certificate."""
    folder = tmp_path_factory.mktemp("git")
    secret, certificate = web.certified(folder, "localhost")
    redirects = {"/public/moved": "/public", "/public/inside": "http://127.0.0.1:1/x"}
    with gitserver.running(folder, secret, redirects=redirects) as port:
        yield folder / "public", port, certificate


@pytest.fixture
def place(server: tuple[Path, int, Path], tmp_path: Path) -> Place:
    served, port, certificate = server
    own = served / tmp_path.name
    gitserver.repository(own, "app.git", {"a.txt": "one\n"})
    url = f"https://localhost:{port}/public/{tmp_path.name}"
    return Place(tmp_path, own, url, certificate)


def test_a_branch_is_cloned_over_whatever_was_there(place: Place) -> None:
    (place.workspace / "half" / ".hidden").mkdir(parents=True)
    (place.workspace / ".git").mkdir()

    done = place.clone("app.git", REPO_BRANCH="main")

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"commit {place.head('app.git')}\n"
    assert {path.name for path in place.workspace.iterdir()} == {".git", "a.txt"}
    assert git(place.workspace, "status", "--short", "--branch") == "## main...origin/main\n"


def test_a_commit_is_pinned_also_one_that_is_on_no_branch(place: Place) -> None:
    first = place.head("app.git")
    (place.work("app.git") / "b.txt").write_text("two\n")
    place.publish("app.git")

    on_branch = place.clone("app.git", REPO_COMMIT=first)
    assert on_branch.stdout == f"commit {first}\n"
    assert not (place.workspace / "b.txt").exists()

    git(place.work("app.git"), "commit", "--amend", "--quiet", "-m", "other")
    other = place.head("app.git")
    git(place.work("app.git"), "push", "-q", str(place.served / "app.git"), f"{other}:refs/x/y")
    git(place.served / "app.git", "config", "uploadpack.allowAnySHA1InWant", "true")

    off_branch = place.clone("app.git", REPO_COMMIT=other, REPO_BRANCH="main")
    assert off_branch.stdout == f"commit {other}\n", off_branch.stderr
    assert (place.workspace / "b.txt").read_text() == "two\n"


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("none.git", {}),
        ("app.git", {"REPO_BRANCH": "no-such"}),
        ("app.git", {"REPO_COMMIT": "1" * 40}),
        ("app.git", {"REPO_SUBPATH": "no/such"}),
        ("../moved/app.git", {}),
        ("../inside/app.git", {}),
    ],
)
def test_what_is_not_there_or_elsewhere_is_not_asked_for_again(
    place: Place, name: str, variables: dict[str, str]
) -> None:
    done = place.clone(name, **variables)

    assert done.returncode != 0 and "commit" not in done.stdout
    assert done.returncode == 3 or clone._FOR_GOOD.search(done.stderr), done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% {}/x",
        "file://{}/app.git",
        "--upload-pack=touch {}/x",
        "{}/app.git",
    ],
)
def test_no_other_protocol_is_spoken_even_if_asked_for(place: Place, url: str) -> None:
    done = place.clone("app.git", REPO_URL=url.format(place.served))

    assert done.returncode != 0
    assert not (place.served / "x").exists() and not (place.workspace / "a.txt").exists()


def test_an_empty_repository_is_none_to_work_in(place: Place) -> None:
    git(place.served, "init", "--quiet", "--bare", "empty.git")

    assert place.clone("empty.git").returncode == 3


def test_neither_submodules_nor_lfs_nor_hooks_do_anything(place: Place) -> None:
    work = place.work("app.git")
    git(work, "submodule", "--quiet", "add", str(place.served / "app.git"), "module")
    (work / ".gitattributes").write_text("*.bin filter=lfs\n*.txt filter=evil\n")
    (work / "x.bin").write_text("version https://git-lfs.github.com/spec/v1\nsize 1\n")
    place.publish("app.git")
    # What an image's own settings would do to a repository that asks for it.
    settings = f'[filter "evil"]\n\tsmudge = touch {place.folder}/pwned; cat\n\trequired\n'
    hooks = place.folder / "hooks"
    hooks.mkdir()
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {place.folder}/pwned\n")
    (hooks / "post-checkout").chmod(0o755)
    (place.folder / ".gitconfig").write_text(settings + f"[core]\n\thooksPath = {hooks}\n")

    done = place.clone("app.git")

    assert done.returncode == 0, done.stderr
    assert not (place.folder / "pwned").exists()
    assert list((place.workspace / "module").iterdir()) == []
    assert (place.workspace / "x.bin").read_text().startswith("version https://git-lfs")


def test_a_subpath_that_leads_outside_is_none(place: Place) -> None:
    work = place.work("app.git")
    (work / "sub").mkdir()
    (work / "sub" / "file").write_text("x")
    (work / "out").symlink_to("/etc")
    (work / "in").symlink_to("sub")
    place.publish("app.git")

    assert place.clone("app.git", REPO_SUBPATH="sub").returncode == 0
    assert place.clone("app.git", REPO_SUBPATH="in").returncode == 0
    assert place.clone("app.git", REPO_SUBPATH="out").returncode == 3
    assert place.clone("app.git", REPO_SUBPATH="a.txt").returncode == 3


def test_a_patch_holds_all_that_was_made_and_applies_to_a_fresh_clone(place: Place) -> None:
    work = place.work("app.git")
    (work / "gone.txt").write_text("x\n")
    (work / "run.sh").write_text("echo\n")
    (work / "data.bin").write_bytes(bytes(range(256)))
    (work / ".gitignore").write_text("*.log\n")
    place.publish("app.git")
    start = place.head("app.git")
    place.clone("app.git")
    here = place.workspace
    (here / "a.txt").write_text("two\n")
    (here / "gone.txt").unlink()
    (here / "run.sh").chmod(0o755)
    (here / "data.bin").write_bytes(bytes(reversed(range(256))))
    git(here, "commit", "--quiet", "-am", "the agent commits")
    (here / "new dir").mkdir()
    (here / "new dir" / "n\new.txt").write_text("new\n")
    (here / "link").symlink_to("a.txt")
    (here / "x.log").write_text("ignored")
    (here / "node_modules").mkdir()
    (here / "node_modules" / "x.js").write_text("not ours")
    os.mkfifo(here / "pipe")

    done = place.patch(start)

    assert done.returncode == 0, done.stderr
    fresh = place.fresh("app.git", done.stdout)
    assert (fresh / "a.txt").read_text() == "two\n" and not (fresh / "gone.txt").exists()
    assert os.access(fresh / "run.sh", os.X_OK)
    assert (fresh / "data.bin").read_bytes() == bytes(reversed(range(256)))
    assert (fresh / "new dir" / "n\new.txt").read_text() == "new\n"
    assert (fresh / "link").readlink() == Path("a.txt")
    assert not (fresh / "x.log").exists() and not (fresh / "node_modules").exists()
    assert git(here, "status", "--short") != ""  # the agent's own index is as it left it


def test_nothing_changed_is_an_empty_patch(place: Place) -> None:
    place.clone("app.git")

    done = place.patch(place.head("app.git"))

    assert (done.returncode, done.stdout) == (0, "")


def test_the_repositorys_own_settings_run_nothing(place: Place) -> None:
    place.clone("app.git")
    here, pwned = place.workspace, place.folder / "pwned"
    evil = f"touch {pwned}; cat"
    for name in ("filter.x.clean", "filter.x.process", "diff.x.command", "diff.x.textconv",
                 "core.fsmonitor", "diff.external", "core.sshCommand", "core.pager"):  # fmt: skip
        git(here, "config", name, evil)
    (here / ".gitattributes").write_text("*.txt filter=x diff=x\n")
    (here / "a.txt").write_text("two\n")
    hook = here / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir()
    hook.write_text(f"#!/bin/sh\ntouch {pwned}\n")
    hook.chmod(0o755)
    pwned.unlink(missing_ok=True)

    done = place.patch(place.head("app.git"))

    assert "+two" in done.stdout and not pwned.exists()


def test_without_the_commit_that_it_began_with_there_is_no_patch(place: Place) -> None:
    place.clone("app.git")
    start = place.head("app.git")
    shutil.rmtree(place.workspace / ".git")

    done = place.patch(start)

    assert done.returncode == 3 and "is gone" in done.stderr and not done.stdout

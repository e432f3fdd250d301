"""Which repositories may be named at all."""

from __future__ import annotations

from typing import Any

import pytest

from knify import errors, model, repositories

URL = "https://github.com/org/repo.git"


def read(**written: Any) -> model.Repository:
    return repositories.read(written, known=("git.lan",))


def refused(**written: Any) -> errors.BadRequest:
    with pytest.raises(errors.BadRequest) as wrong:
        read(**written)
    return wrong.value


def test_an_ordinary_one_is_taken_as_it_is() -> None:
    found = read(url=URL, branch="feature/x-1", commit="A" * 40, subpath="services/api/")

    assert found == model.Repository(URL, "feature/x-1", "a" * 40, "services/api")
    assert repositories.host(found) == "github.com:443"


def test_hosts_and_ports_are_as_everybody_reads_them() -> None:
    found = read(url="https://GitHub.com:8443/org/repo")

    assert found.url == "https://github.com:8443/org/repo"
    assert repositories.host(found) == "github.com:8443"


def test_internal_names_are_the_operators_to_give() -> None:
    assert read(url="https://git.lan/a.git").url == "https://git.lan/a.git"
    assert refused(url="https://other.lan/a.git").detail == {"field": "repository.url"}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ext::sh -c touch% /tmp/x",
        "file:///etc/passwd",
        "/srv/repo.git",
        "../repo.git",
        "git@github.com:org/repo.git",
        "ssh://git@github.com/org/repo.git",
        "git://github.com/org/repo.git",
        "http://github.com/org/repo.git",
        "ftp::https://github.com/org/repo.git",
        "--upload-pack=touch /tmp/x",
        "-u./x",
        "https://user:token@github.com/org/repo.git",
        "https://token@github.com/org/repo.git",
        "https://127.0.0.1/org/repo.git",
        "https://[::1]/org/repo.git",
        "https://8.8.8.8/org/repo.git",
        "https://0x7f.1/org/repo.git",
        "https://localhost/org/repo.git",
        "https://metadata.google.internal/org/repo.git",
        "https://github.com",
        "https://github.com/",
        "https://github.com//repo",
        "https://github.com/org/../../x",
        "https://github.com/org/repo?x=1",
        "https://github.com/org/repo#x",
        "https://github.com/org/re po",
        "https://github.com/org/repo\n",
        "https://github.com/org/repo\\x",
        "https://-oProxyCommand=x/org/repo",
        "https://github.com:0/org/repo",
        "https://github.com/" + "a" * 3000,
    ],
)
def test_a_url_that_is_no_plain_one_over_https_is_refused(url: str) -> None:
    assert refused(url=url).detail == {"field": "repository.url"}


@pytest.mark.parametrize(
    "branch",
    ["-x", "--upload-pack=x", "a..b", "a b", "a~1", "a^", "a:b", "x.lock", "a/.b", "/a", "a/",
     "a//b", "@", "a@{1}", "a\\b", "a\n", "a?", "a*", "a[", ".a", "a.", "x" * 300, "refs/x.lock/y"],
)  # fmt: skip
def test_a_branch_that_git_would_not_name_so_is_refused(branch: str) -> None:
    assert refused(url=URL, branch=branch).detail == {"field": "repository.branch"}


@pytest.mark.parametrize("commit", ["abc1234", "HEAD", "g" * 40, "-" * 40, "a" * 41, "main"])
def test_a_commit_is_a_whole_hash(commit: str) -> None:
    assert refused(url=URL, commit=commit).detail == {"field": "repository.commit"}


@pytest.mark.parametrize(
    "subpath", ["/etc", "..", "a/../b", "./a", "a//b", ".git", "a/.GIT/x", "a\nb", "a" * 2000]
)
def test_a_subpath_stays_within_the_repository(subpath: str) -> None:
    assert refused(url=URL, subpath=subpath).detail == {"field": "repository.subpath"}


@pytest.mark.parametrize(("field", "value"), [("url", 1), ("branch", ["x"]), ("commit", True)])
def test_what_is_no_text_is_refused(field: str, value: object) -> None:
    assert refused(**{"url": URL, field: value}).detail == {"field": f"repository.{field}"}

"""Repositories as users name them: over https alone, and nothing that git reads as something else.

What a name leads to is checked where it is asked for, by the gateway; here, what it says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from knify import egress, errors, model

FIELDS: Final = ("url", "branch", "commit", "subpath")
MAX_BRANCH: Final = 255  # characters
MAX_SUBPATH: Final = 1024
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+/?")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
#: What `git check-ref-format` refuses.
_NO_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)|[./]$|^[-./]|^@$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def read(
    written: Mapping[str, Any], place: str = "repository", known: Collection[str] = ()
) -> model.Repository:
    """The record of what was written; BadRequest names the field below `place`.

    `known`: the operator's own hosts, whose names may be of an internal network.
    """
    found = {name: written[name] for name in FIELDS if written.get(name) is not None}
    for name, value in found.items():
        if not isinstance(value, str):
            raise _wrong(place, name, "must be a text")
    if not found.get("url"):
        raise _wrong(place, "url", "is missing: name one such as https://github.com/org/repo.git")
    checks: dict[str, Callable[[str], str]] = {
        "url": lambda url: _url(url, known),
        "branch": _branch,
        "commit": _commit,
        "subpath": _subpath,
    }
    for name, value in found.items():
        try:
            found[name] = checks[name](value)
        except ValueError as failed:
            raise _wrong(place, name, str(failed)) from failed
        except errors.EgressRefused as failed:
            raise _wrong(place, name, failed.message) from failed
    return model.Repository(**found)


def host(repository: model.Repository) -> str:
    """What a policy has to allow for a clone: `NAME:PORT`."""
    target = egress.parse(repository.url)
    return f"{target.host}:{target.port}"


def _url(url: str, known: Collection[str]) -> str:
    if not url.lower().startswith("https://"):
        raise ValueError("must begin with https://, the only way by which Knify clones")
    target = egress.parse(url)
    path = target.url.split("/", 3)[3] if target.url.count("/") > 2 else ""
    if "?" in url or "#" in url:
        raise ValueError("must hold neither ? nor #")
    if not _PATH.fullmatch(f"/{path}") or {".", ".."} & set(path.split("/")):
        raise ValueError("names no repository such as https://github.com/org/repo.git")
    egress.name(target.host)
    if target.host not in known:
        egress.allow(target)
    return target.url.rstrip("/")


def _branch(branch: str) -> str:
    if len(branch) > MAX_BRANCH or not branch or _NO_BRANCH.search(branch):
        raise ValueError("is no name that git allows for a branch or a tag")
    return branch


def _commit(commit: str) -> str:
    if not _COMMIT.fullmatch(commit.lower()):
        raise ValueError("must be a whole hash: 40 or 64 hexadecimal digits")
    return commit.lower()


def _subpath(subpath: str) -> str:
    parts = subpath.removesuffix("/").split("/")
    if len(subpath) > MAX_SUBPATH or _CONTROL.search(subpath):
        raise ValueError(f"has control characters or more than {MAX_SUBPATH}")
    if {"", ".", "..", ".git"} & {part.lower() for part in parts}:
        raise ValueError("is a folder within the repository: relative, without . and ..")
    return "/".join(parts)


def _wrong(place: str, field: str, why: str) -> errors.BadRequest:
    return errors.BadRequest(f"{field} {why}", detail={"field": f"{place}.{field}"})

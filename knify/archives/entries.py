"""What an uploaded archive may hold: its entries, its limits, and which names are allowed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from knify import errors, units

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SHOWN = 120  # characters of a hostile name in an error message


class Kind(StrEnum):
    """All that is let in."""

    FILE = "file"
    FOLDER = "folder"
    SYMLINK = "symlink"


class Data(Protocol):
    """A file's content."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; empty at the end."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as the archive has it; its data can be read until the next one is asked for."""

    name: str
    kind: Kind
    size: int  # bytes of a file, else 0
    mode: int  # permission bits, unchecked
    mtime: int  # seconds since the epoch, unchecked
    target: str  # of a symlink
    data: Data


@dataclass(frozen=True, slots=True)
class Limits:
    """Beyond any of these an archive is refused."""

    entries: int = 100_000
    size: int = 2 * 1024**3  # bytes of the unpacked files together
    ratio: int = 200  # unpacked to packed, once RATIO_FLOOR is passed
    depth: int = 64  # folders within folders
    name: int = 1_024  # bytes of a whole name
    segment: int = 255  # bytes between two slashes


RATIO_FLOOR = 64 * 1024**2  # bytes; below it, text that packs very well is no bomb


def shown(name: str) -> str:
    """A name for an error message: quoted, short, without control characters."""
    return ascii(name if len(name) <= _SHOWN else name[:_SHOWN] + "…")


def segments(name: str, limits: Limits) -> tuple[str, ...]:
    """A name's parts below the archive's root; empty for the root itself.

    BadRequest names the entry and the cure.
    """
    _check_text(name, "the entry")
    if name.startswith("/"):
        raise errors.BadRequest(
            f"the entry {shown(name)} is absolute: pack with names relative to the folder"
        )
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise errors.BadRequest(
            f"the entry {shown(name)} goes up with '..': pack the folder itself"
        )
    _check_lengths(name, parts, limits)
    return parts


def check_target(parts: tuple[str, ...], target: str, limits: Limits) -> None:
    """A symlink must stay inside: relative, and '..' only at its start.

    A '..' behind a name would be taken from where that name, perhaps a link too, really leads.
    """
    name = shown("/".join(parts))
    _check_text(target, f"the target of the symlink {name},")
    steps = [step for step in target.split("/") if step not in ("", ".")]
    up = next((n for n, step in enumerate(steps) if step != ".."), len(steps))
    if not target or target.startswith("/") or up >= len(parts) or ".." in steps[up:]:
        raise errors.BadRequest(
            f"the symlink {name} leads to {shown(target)}: only relative links that stay inside "
            "the archive, with '..' at their start only, are let in; pack with --dereference"
        )
    if len(target.encode()) > limits.name:
        raise errors.BadRequest(f"the target of the symlink {name} is too long")


def check_size(unpacked: int, packed: int, limits: Limits) -> None:
    """TooLarge when this many bytes are too many, in all or for so small an archive."""
    if unpacked > limits.size:
        raise errors.TooLarge(
            f"the archive unpacks to more than {units.show_size(limits.size)}: leave out what can "
            "be made again, such as node_modules and build folders"
        )
    if unpacked > RATIO_FLOOR and unpacked > limits.ratio * packed:
        raise errors.TooLarge(
            f"the archive unpacks to more than {limits.ratio} times its size, as bombs do: leave "
            "out files of zeros or pack without compression"
        )


def check_count(count: int, limits: Limits) -> None:
    """TooLarge when this many entries are too many."""
    if count > limits.entries:
        raise errors.TooLarge(
            f"the archive holds more than {limits.entries} entries: leave out what can be made "
            "again, such as node_modules and build folders"
        )


def _check_text(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise errors.BadRequest(f"{what} {shown(text)} is not UTF-8: rename it") from None
    if _CONTROL.search(text):
        raise errors.BadRequest(f"{what} {shown(text)} holds a control character: rename it")


def _check_lengths(name: str, parts: tuple[str, ...], limits: Limits) -> None:
    if len(name.encode()) > limits.name:
        raise errors.BadRequest(
            f"the entry {shown(name)} has a name of more than {limits.name} bytes: shorten it"
        )
    if any(len(part.encode()) > limits.segment for part in parts):
        raise errors.BadRequest(
            f"the entry {shown(name)} has a part of more than {limits.segment} bytes: shorten it"
        )
    if len(parts) > limits.depth:
        raise errors.BadRequest(
            f"the entry {shown(name)} is more than {limits.depth} folders deep: flatten it"
        )

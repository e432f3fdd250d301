"""The id range behind `--userns=auto`: one `containers:` line in /etc/subuid and in /etc/subgid.

Every sandbox, a stopped one included, holds a slice of it, so the range bounds how many
sandboxes a node can keep.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

OWNER = "containers"
WANTED = 2**28
PER_SANDBOX = 4096
SUBUID = Path("/etc/subuid")
SUBGID = Path("/etc/subgid")

# Users' ranges grow upwards from 100000 and systemd-nspawn's end below 2**31, so the upper half
# is where Podman's own documentation puts this range, too.
_FIRST = 2**31
_LAST = 2**32 - 2


@dataclass(frozen=True, slots=True)
class Range:
    """`count` ids from `start` on that belong to `owner`."""

    owner: str
    start: int
    count: int

    @property
    def end(self) -> int:
        """The first id behind the range."""
        return self.start + self.count

    def overlaps(self, other: Range) -> bool:
        """Whether one id is in both."""
        return self.start < other.end and other.start < self.end


def parse(text: str) -> list[Range]:
    """The ranges of a subuid file; lines of another form are skipped, as shadow does."""
    found = []
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) == 3 and fields[1].isdigit() and fields[2].isdigit():
            found.append(Range(fields[0], int(fields[1]), int(fields[2])))
    return found


def read(path: Path) -> list[Range]:
    """The ranges in a file; none when there is no such file."""
    return parse(path.read_text()) if path.exists() else []


def owned(uids: Path = SUBUID, gids: Path = SUBGID) -> int:
    """How many ids `containers` may use: the smaller of the two files' sums."""
    return min(_sum(read(uids)), _sum(read(gids)))


def pick(taken: list[Range], count: int = WANTED) -> Range:
    """The lowest aligned free range of `count` ids; LookupError when there is none."""
    start = _FIRST
    while start + count - 1 <= _LAST:
        wanted = Range(OWNER, start, count)
        if not any(wanted.overlaps(other) for other in taken):
            return wanted
        start += count
    raise LookupError(f"no free range of {count} ids")


def ensure(uids: Path = SUBUID, gids: Path = SUBGID, count: int = WANTED) -> Range | None:
    """Add one range, the same in both files, unless both hold enough; returns what was added.

    Lines that are there stay as they are, so containers that use their ids keep working.
    """
    if owned(uids, gids) >= count:
        return None
    fresh = pick([*read(uids), *read(gids)], count)
    for path in (uids, gids):
        _append(path, fresh)
    return fresh


def _sum(ranges: list[Range]) -> int:
    return sum(held.count for held in ranges if held.owner == OWNER)


def _append(path: Path, fresh: Range) -> None:
    """Write a copy beside the file and rename it, so that no reader ever sees half of it."""
    before = path.read_text() if path.exists() else ""
    joint = "" if not before or before.endswith("\n") else "\n"
    line = f"{fresh.owner}:{fresh.start}:{fresh.count}\n"
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as copy:
        copy.write(before + joint + line)
        copy.flush()
        os.fsync(copy.fileno())
    Path(name).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
    Path(name).replace(path)

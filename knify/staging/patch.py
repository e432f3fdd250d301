"""What a task made of its repository: a patch against the commit that it began with.

Git makes it in the sandbox, behind the job's end: its files are hostile, and a repository's own
settings can make git run anything. Not even there are they read (`patch.sh`).
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from importlib import resources
from typing import IO, Final

from knify import errands, errors, units
from knify.core import Core
from knify.objects import base, locate
from knify.sandbox import tree
from knify.turn import Hands, Turn

_TEXT: Final = resources.files(__package__).joinpath("patch.sh").read_text()
SCRIPT: Final = errands.script(_TEXT, "patch")


class Patch:
    """A patch in a file without a name, which is gone once that is closed."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        """`limit` in bytes."""
        self.size = 0
        self._file, self._limit, self._hash = file, limit, hashlib.sha256()

    def take(self, data: bytes) -> None:
        """More of it. TooLarge beyond the limit."""
        self.size += len(data)
        if self.size > self._limit:
            raise errors.TooLarge(f"it is larger than {units.show_size(self._limit)}")
        self._hash.update(data)
        self._file.write(data)

    @property
    def sha256(self) -> str:
        """Of all of it."""
        return self._hash.hexdigest()

    def chunks(self) -> Iterator[bytes]:
        """From its beginning."""
        self._file.seek(0)
        while piece := self._file.read(base.CHUNK):
            yield piece

    def close(self) -> None:
        """It is stored, or not wanted."""
        self._file.close()


def make(
    core: Core, hands: Hands, turn: Turn, limit: int, check: Callable[[], None]
) -> Patch | str:
    """The patch, or why there is none. `limit` in bytes; SandboxError when the sandbox fails.

    CutShort when the job was cancelled meanwhile.
    """
    if turn.x.start_commit is None:
        return "it is not known which commit it began with"
    if turn.channel is not None and not (turn.channel.end and turn.channel.end.marker):
        hands.hang_up(turn)  # the job did not end by itself: nobody listens there
    if turn.channel is None:
        hands.open(turn, hands.sandbox(turn))
    # Not with `with`: whoever stores it closes it.
    made = Patch(tempfile.TemporaryFile(dir=locate.spool(core.settings)), limit)  # noqa: SIM115
    try:
        why = _filled(hands, turn, made, check)
    except BaseException:
        made.close()
        raise
    if why is None:
        return made
    made.close()
    return why


def _filled(hands: Hands, turn: Turn, made: Patch, check: Callable[[], None]) -> str | None:
    """Git's output is in it; else why not."""
    names = {"PATCH_START": turn.x.start_commit or ""}
    names["PATCH_SKIPPED"] = " ".join(sorted(tree.SKIPPED))
    errand = errands.Errand("patch", SCRIPT, names, made.take)
    try:
        done = errands.run(hands, turn, errand, check)
    except (errors.TooLarge, errors.OutOfTime) as failed:
        hands.hang_up(turn)  # it may still run, so the sandbox is stopped next
        if isinstance(failed, errors.CutShort):
            raise
        return failed.message if isinstance(failed, errors.TooLarge) else "it took too long"
    if done.code == 0:
        return None
    return done.err.strip().rpartition("\n")[2][-300:] or f"git ended with code {done.code}"

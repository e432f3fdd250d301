"""Reading a container's whole output, byte for byte, from the file that conmon writes.

Each line is `TIME STREAM F|P BYTES`; after F (full) the line feed is the job's own, after P
(partial) it is not. Podman's own `logs` call adds line feeds and drops carriage returns.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from knify.sandbox import base, markers

_BLOCK = 256 * 1024
_STREAMS = {b"stdout": base.Stream.OUT, b"stderr": base.Stream.ERR}


def records(path: Path) -> Iterator[tuple[base.Stream, bytes]]:
    """All output so far, in the order in which it was written."""
    rest = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                words = line.split(b" ", 3)
                if len(words) == 4 and words[1] in _STREAMS:  # else torn by a power cut
                    yield _STREAMS[words[1]], words[3] + b"\n" if words[2] == b"F" else words[3]


def has_start(path: Path, nonce: str) -> bool:
    """Whether the turn with this nonce was ever started, as far as the log goes back."""
    needle = markers.needle(nonce) + b"start "
    held = b""
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                if needle in held + block:
                    return True
                held = block[-len(needle) :]
    except FileNotFoundError:
        pass
    return False


class Cut:
    """One turn's bytes out of a log: from its start to a mark or its end, on each stream."""

    def __init__(self, nonce: str, mark: str | None, skip: dict[base.Stream, int]) -> None:
        """`mark` ends the cut; None: the log's end does. `skip` bytes are left out first."""
        self._scanners = {stream: markers.Scanner(nonce) for stream in base.Stream}
        self._mark = mark
        self._skip = dict(skip)
        self._open: set[base.Stream] = set()
        self._done: set[base.Stream] = set()
        self.exit_code: int | None = None
        self.exited: set[base.Stream] = set()
        self.job_pid: int | None = None

    def take(self, path: Path) -> Iterator[tuple[base.Stream, bytes]]:
        """The turn's bytes."""
        for stream, data in records(path):
            if len(self._done) == len(base.Stream):
                return
            if stream not in self._done:
                for piece in self._scanners[stream].feed(data):
                    yield from self._piece(stream, piece)
        for stream in self._open - self._done:
            yield from self._piece(stream, self._scanners[stream].flush())

    def _piece(
        self, stream: base.Stream, piece: bytes | markers.Marker
    ) -> Iterator[tuple[base.Stream, bytes]]:
        if isinstance(piece, markers.Marker):
            self._marker(stream, piece.words)
        elif stream in self._open and stream not in self._done:
            rest = piece[self._skip[stream] :]
            self._skip[stream] -= len(piece) - len(rest)
            if rest:
                yield stream, rest

    def _marker(self, stream: base.Stream, words: tuple[str, ...]) -> None:
        if words[:1] == ("start",):
            self._open.add(stream)
            self.job_pid = number(words)
        elif words[:1] == ("exit",) and stream in self._open:
            self._done.add(stream)
            self.exited.add(stream)
            self.exit_code = number(words)
        elif words == ("mark", self._mark):
            self._done.add(stream)


def job_pid(path: Path, nonce: str) -> int | None:
    """The first process of the turn with this nonce, as numbered inside; None: not started."""
    cut = Cut(nonce, None, dict.fromkeys(base.Stream, 0))
    for _ in cut.take(path):
        break
    return cut.job_pid


def number(words: tuple[str, ...]) -> int | None:
    """The number that a start or exit marker carries."""
    text = words[1] if len(words) > 1 else ""
    return int(text) if text.isdigit() and len(text) < 10 else None

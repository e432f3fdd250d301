"""An upload on its way in: from the socket into an unlinked file, a piece at a time.

Reading waits in gevent's loop, writing and hashing in a thread, so other requests go on meanwhile.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

import flask

from api import aside, multipart, transfers
from knify import settings
from knify.objects import locate, room, scratch

_CURE: Final = "send workspace=@x.tar.gz and optionally name"


@dataclass(frozen=True, slots=True)
class Upload:
    """What came."""

    file: BinaryIO  # the archive
    sha256: str  # of it
    filename: str  # as the client called it; empty: not at all
    name: str | None  # the form's field


@contextlib.contextmanager
def upload(
    config: settings.Settings,
    running: transfers.Transfers,
    *,
    more: frozenset[str] = frozenset(),
    gate: Callable[[Mapping[str, str]], None] = lambda _: None,
) -> Iterator[Upload | None]:
    """Receive the form; None when its file is missing. The file is gone behind the block.

    `more`: texts that it may have beside the name; `gate` as in `multipart.Reader`.
    BadRequest, TooLarge, TooSlow, StorageFull, UnsupportedMediaType.
    """
    request, spool = flask.request, locate.spool(config)
    request.max_content_length = config.workspace_bytes + multipart.FORM_BYTES
    stream = request.stream  # TooLarge by its declared length, before a byte is read
    # The archive, and about as much again for its sealed files.
    wanted = 2 * (request.content_length or multipart.PIECE)
    with (
        running.claim(wanted, lambda all_: room.require([spool], all_, config.disk_reserve)) as got,
        tempfile.TemporaryFile(dir=spool) as opened,
    ):
        spooled = _Spooled(config, spool, cast(BinaryIO, opened))

        def sink(piece: bytes) -> None:
            aside.run(lambda: spooled.write(piece))
            got(len(piece))

        def next_piece() -> bytes:
            return transfers.in_time(
                lambda: stream.read(multipart.PIECE), multipart.PIECE, config.transfer_rate
            )

        texts = more | {"name"}
        form = multipart.Reader("workspace", texts, sink, _CURE, gate).read(next_piece)
        sha256 = spooled.close()
        if form.filename is None:
            yield None
        else:
            yield Upload(spooled.file, sha256, form.filename, form.fields.get("name"))


class _Spooled:
    """An archive on its way to disk, as long as there is room."""

    def __init__(self, config: settings.Settings, spool: Path, file: BinaryIO) -> None:
        self.file = file
        self._spool = spool
        self._digest = hashlib.sha256()
        # What comes may be more than was said.
        self._look = room.Look([spool], config.disk_reserve)

    def write(self, piece: bytes) -> None:
        """StorageFull."""
        self._look.before(len(piece))
        self._digest.update(piece)
        with scratch.translated(self._spool):
            self.file.write(piece)

    def close(self) -> str:
        """Nothing more comes; the SHA-256 of it. StorageFull."""
        with scratch.translated(self._spool):
            self.file.flush()
        return self._digest.hexdigest()

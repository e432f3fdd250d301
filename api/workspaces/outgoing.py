"""A workspace on its way out: decrypted while it is sent, without a temporary file.

The library that decrypts pushes, and a server's answer is pulled: a pipe joins the two. A thread
writes into it as far as the client reads, and gevent's loop never waits for either. The pipe's
64 KiB chunks are authentic, each; if the object turns out to be cut short, the connection
breaks off before its promised length.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import flask
import gevent
from gevent import monkey
from gevent.os import make_nonblocking, nb_read

from api import aside, context, downloads, transfers
from knify import errors, model
from knify.objects import base, sealed

_PIPE: Final = 1024**2  # bytes that may wait in it
_LOOK: Final = 5.0  # seconds between two looks at the client


def respond(found: model.Workspace) -> flask.Response:
    """Its files as one tar, or the range of it that is asked for; 304 for who has them."""
    same = downloads.unchanged(found.sha256)
    if same is not None:
        return same
    sealed_ = context.core().sealed
    size = aside.run(lambda: sealed_.size(found.key))
    name = f"{found.name}-v{found.version}.tar"
    is_head = flask.request.method == "HEAD"
    return downloads.ranged(
        downloads.File(name, "application/x-tar", size, found.sha256),
        lambda first, behind: () if is_head else _body(found, first, behind),
    )


def _body(found: model.Workspace, first: int, behind: int) -> Body | Plain:
    core, running, tenant = context.core(), context.transfers(), context.tenant()
    if not is_gevent():
        return Plain(core.sealed, found.key, first, behind)
    running.take(tenant)
    return Body(
        core.sealed,
        found.key,
        first,
        behind,
        threads=core.settings.transfers,
        rate=core.settings.transfer_rate,
        hang_up=hang_up(flask.request.environ),
        done=lambda: running.give_back(tenant),
    )


class Body:
    """Bytes `first` up to, not including, `behind` of a sealed object; iterate once, close.

    Made, it has its first bytes: what is wrong with the object's beginning is raised here.
    """

    def __init__(
        self,
        vault: sealed.Sealed,
        key: str,
        first: int,
        behind: int,
        *,
        threads: int,
        rate: int,
        hang_up: Callable[[], None],
        done: Callable[[], None],
    ) -> None:
        """`hang_up` ends a client that reads slower than `rate`; `done` is called once."""
        self._done = done
        self._left = behind - first
        self._reader, writer = os.pipe()
        self._since = time.monotonic()
        try:
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE)
            make_nonblocking(self._reader)
            self._job = aside.pool("downloads", threads).spawn(
                _push, vault, key, writer, first, behind
            )
        except BaseException:
            os.close(writer)
            self._end()
            raise
        self._watch = gevent.spawn(self._look, transfers.GRACE + base.CHUNK / rate, hang_up)
        try:
            self._piece = self._next()
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        """Until all is sent. ObjectStoreError when the object is damaged."""
        while self._piece:
            yield self._piece
            self._piece = self._next()

    def close(self) -> None:
        """Let the thread go, whatever it is doing."""
        if self._reader >= 0:
            self._watch.kill()
            self._end()
            self._job.wait()

    def _end(self) -> None:
        os.close(self._reader)
        self._reader = -1
        self._done()

    def _next(self) -> bytes:
        self._since = time.monotonic()
        piece: bytes = nb_read(self._reader, base.CHUNK) if self._left else b""
        if self._left and not piece:
            raise self._job.get() or errors.ObjectStoreError("the object is too short")
        self._left -= len(piece)
        return piece

    def _look(self, seconds: float, hang_up: Callable[[], None]) -> None:
        """A client that takes nothing would else keep its slot for ever."""
        while time.monotonic() - self._since < seconds:
            gevent.sleep(_LOOK)
        hang_up()


class Plain:
    """The same without gevent, as in tests: from a temporary file."""

    def __init__(self, vault: sealed.Sealed, key: str, first: int, behind: int) -> None:
        self._reader = vault.open(key)
        self._reader.read(first)
        self._left = behind - first

    def __iter__(self) -> Iterator[bytes]:
        while self._left and (piece := self._reader.read(min(self._left, base.CHUNK))):
            self._left -= len(piece)
            yield piece

    def close(self) -> None:
        self._reader.close()


def is_gevent() -> bool:
    """Whether this process serves with gevent."""
    return bool(monkey.is_module_patched("socket"))


class _EnoughError(Exception):
    """All that is wanted has been written."""


class _Into:
    """A range of what is written goes to a descriptor, which blocks when nobody reads."""

    def __init__(self, descriptor: int, first: int, behind: int) -> None:
        self._descriptor = descriptor
        self._skip = first
        self._left = behind - first

    def write(self, data: bytes, /) -> int:
        view = memoryview(data)[self._skip :]
        self._skip = max(0, self._skip - len(data))
        view = view[: self._left]
        self._left -= len(view)
        while view:
            view = view[os.write(self._descriptor, view) :]
        if not self._left:
            raise _EnoughError
        return len(data)

    def flush(self) -> None:
        pass


def _push(vault: sealed.Sealed, key: str, writer: int, first: int, behind: int) -> Exception | None:
    """In a thread: what went wrong, apart from a reader that is gone or has enough."""
    try:
        if behind > first:
            vault.copy(key, _Into(writer, first, behind))
    except (_EnoughError, BrokenPipeError):
        return None
    except Exception as failed:
        return failed
    finally:
        os.close(writer)
    return None


def hang_up(environ: dict[str, Any]) -> Callable[[], None]:
    """Break this request's connection."""

    def work() -> None:
        socket = environ.get("gunicorn.socket")
        if socket is not None:
            try:
                socket.shutdown(2)
            except OSError:
                return  # gone already

    return work

"""WebSockets (RFC 6455) on gunicorn's connections: the handshake, frames both ways, the close.

gunicorn has read the request; the connection is ours from then on, until its thread comes back.
One thread says what there is to say, another one hears: pings, the close, and little more.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable
from typing import Any, Final, NoReturn

import flask
import wsproto
from wsproto import events, frame_protocol
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from api import context, shares
from knify import errors

CLOSE_SECONDS: float = 3.0  # for which the other side's goodbye is waited for
MOST_MESSAGE: Final = 4 * 1024  # bytes of one message from a client
MOST_HEARD: Final = 64 * 1024  # bytes from a client, pings too, within HEARD_SECONDS
HEARD_SECONDS: Final = 10.0
_PIECE: Final = 4 * 1024
_HEADS: Final = {
    "HTTP_HOST": b"Host",
    "HTTP_UPGRADE": b"Upgrade",
    "HTTP_CONNECTION": b"Connection",
    "HTTP_SEC_WEBSOCKET_KEY": b"Sec-WebSocket-Key",
    "HTTP_SEC_WEBSOCKET_VERSION": b"Sec-WebSocket-Version",
}  # compression is not offered: a page is framed once for all who follow


class Wire:
    """One connection. Whole frames only, whoever of the threads writes them."""

    def __init__(self, connection: Any, protocol: wsproto.WSConnection) -> None:
        """`protocol`: the handshake's server side, which has seen the request."""
        self._connection = connection
        self._protocol = protocol
        self._lock = threading.Lock()  # held by who may have to wait for room
        self._left = b""  # frames that were begun, or that found no room
        self._heard, self._since = 0, time.monotonic()
        self._message = ""  # the one that is coming
        self.heard: Callable[[str], None] | None = None  # for what a client says; BadRequest
        self._ears: threading.Thread | None = None
        self.closed = False  # the other side has gone, or is to go
        self.wake: Callable[[], None] | None = None  # whoever waits for something to say

    def begin(self) -> None:
        """Answer the handshake, and hear from now on."""
        answer = events.AcceptConnection(
            extra_headers=[(b"X-Request-Id", flask.g.request_id.encode())]
        )
        self._put(self._protocol.send(answer))
        self._ears = threading.Thread(target=self._hear, daemon=True, name="websocket")
        self._ears.start()

    def send(self, text: str) -> bool:
        """Its lines as messages, without waiting; False when `finish` has to be called.

        That holds where threads change only when they wait, as gevent's do.
        """
        data = framed(text)
        if self._lock.locked() or self._left:
            self._left += data
            return False
        try:
            taken = os.write(self._connection.fileno(), data) if data else 0
        except OSError:  # full; or gone, which `finish` will meet
            taken = 0
        self._left = data[taken:]
        return not self._left

    def finish(self) -> None:
        """Send what is left, however long that takes; OSError when the client is gone."""
        self._put(b"")

    def say(self, text: str) -> None:
        """Its lines as messages; without any, a ping. OSError when the client is gone."""
        self._put(framed(text) or self._protocol.send(events.Ping()))

    def close(self, code: CloseReason, reason: str = "") -> None:
        """Say goodbye and wait for the other side's, but not for long."""
        with contextlib.suppress(OSError, LocalProtocolError):
            self._put(self._protocol.send(events.CloseConnection(code, reason)))
        if self._ears is not None:
            self._ears.join(CLOSE_SECONDS)
        self.closed = True
        with contextlib.suppress(OSError):
            self._connection.shutdown(2)

    def _put(self, data: bytes) -> None:
        with self._lock:
            while data or self._left:
                found, self._left, data = self._left + data, b"", b""
                self._connection.sendall(found)

    def _hear(self) -> None:
        try:
            while not self.closed and (data := self._connection.recv(_PIECE)):
                self._count(len(data))
                self._protocol.receive_data(data)
                for event in self._protocol.events():
                    self._answer(event)
        except (OSError, LocalProtocolError, RemoteProtocolError):
            pass
        finally:
            self.closed = True
            if self.wake is not None:
                self.wake()

    def _answer(self, event: events.Event) -> None:
        if isinstance(event, events.Ping):
            self._put(self._protocol.send(event.response()))
        elif isinstance(event, events.CloseConnection):
            self.closed = True
            self._put(self._protocol.send(event.response()))
        elif isinstance(event, events.Message):
            self._message += event.data if isinstance(event, events.TextMessage) else "?"
            if len(self._message) > MOST_MESSAGE:
                self._refuse(CloseReason.MESSAGE_TOO_BIG)
            if event.message_finished:
                message, self._message = self._message, ""
                self._take(message)

    def _take(self, message: str) -> None:
        try:
            if self.heard is not None:
                self.heard(message)
        except errors.KnifyError as failed:
            self.say(json.dumps({"type": "error", "message": failed.message}))

    def _count(self, size: int) -> None:
        now = time.monotonic()
        if now - self._since > HEARD_SECONDS:
            self._heard, self._since = 0, now
        self._heard += size
        if self._heard > MOST_HEARD:
            self._refuse(CloseReason.POLICY_VIOLATION)

    def _refuse(self, code: CloseReason) -> NoReturn:
        self._put(self._protocol.send(events.CloseConnection(code)))
        raise OSError("a client said too much")


class Upgraded(flask.Response):
    """The answer to a handshake: the connection is served before this comes back."""

    def __init__(self, wire: Wire, body: Generator[str, None, bool]) -> None:
        """`body`: texts of one message a line, or none: a ping. It ends with whether it is whole.

        StreamsBusy when all places of its tenant are taken.
        """
        super().__init__(status=101)
        self._wire = wire
        self._body = body
        self._tenant = context.tenant()
        self._places: shares.Shares = context.streams()
        self._places.take(self._tenant)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Serve it. Raises StopIteration, by which gunicorn knows that there is nothing to send."""
        try:
            self._serve()
        finally:
            self._body.close()
            self._places.give_back(self._tenant)
        raise StopIteration

    def _serve(self) -> None:
        wire = self._wire
        with contextlib.suppress(OSError):
            wire.begin()
            if _said(wire, self._body):
                wire.close(CloseReason.NORMAL_CLOSURE)
            else:
                wire.close(CloseReason.TRY_AGAIN_LATER, "connect again")


def accept() -> Wire:
    """This request's connection, once it turns out to be a handshake. BadRequest."""
    environ = flask.request.environ
    given = [
        (name, environ[key].encode("latin-1")) for key, name in _HEADS.items() if key in environ
    ]
    protocol = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    try:
        protocol.initiate_upgrade_connection(given, flask.request.path)
        next(protocol.events())
    except (RemoteProtocolError, LocalProtocolError) as wrong:
        words = "open this with a WebSocket, version 13"
        raise errors.BadRequest(words, detail={"field": "Upgrade"}) from wrong
    connection = environ.get("gunicorn.socket")
    if connection is None:
        raise errors.BadRequest("this server has no WebSockets")
    return Wire(connection, protocol)


@functools.lru_cache(maxsize=16)
def framed(text: str) -> bytes:
    """Each line as a message; the same text goes to many clients, since servers mask nothing."""
    frames = frame_protocol.FrameProtocol(client=False, extensions=[])
    return b"".join(bytes(frames.send_data(line)) for line in text.split("\n") if line)


def _said(wire: Wire, body: Generator[str, None, bool]) -> bool:
    """Say all; whether that was all that there will ever be."""
    next(body, "")  # the word that the stream begins: the handshake said so
    while True:
        try:
            text = next(body)
        except StopIteration as end:
            return bool(end.value)
        wire.say(text)

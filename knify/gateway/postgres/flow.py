"""Whose turn it is in a session, and since when: seen from the messages that pass."""

from __future__ import annotations

import struct
import time
from typing import Final

_HEAD: Final = 5  # bytes: a letter and a length
_ENDS_A_TURN: Final = (b"Q", b"S")  # of a client: each is answered by one "ready"


class Flow:
    """One session's, from the moment at which its client may ask."""

    def __init__(self) -> None:
        self.since = time.monotonic()  # of whatever goes on now
        self.is_asked = False  # the server has something to do
        self._turns = 0  # that it has not ended yet
        self._is_more = False  # it was sent something behind the last of them
        self._head = b""
        self._left = 0  # bytes of a message's body

    def asked(self, kind: bytes) -> None:
        """The client has sent a message."""
        if not self.is_asked:
            self.is_asked, self.since = True, time.monotonic()
        self._is_more = kind not in _ENDS_A_TURN
        self._turns += not self._is_more

    def answered(self, data: bytes) -> None:
        """The server has sent this much, whole messages or not."""
        at = 0
        while at < len(data):
            if self._left:
                passed = min(self._left, len(data) - at)
                self._left -= passed
                at += passed
                continue
            part = data[at : at + _HEAD - len(self._head)]
            self._head += part
            at += len(part)
            if len(self._head) == _HEAD:
                kind, size = struct.unpack("!cI", self._head)
                self._head, self._left = b"", max(0, size - 4)
                if kind == b"Z":
                    self._ended()

    @property
    def is_amid(self) -> bool:
        """Whether a message of the server's has come in part: nothing of ours fits behind it."""
        return bool(self._left or self._head)

    def _ended(self) -> None:
        self._turns = max(0, self._turns - 1)
        self.is_asked, self.since = bool(self._turns) or self._is_more, time.monotonic()

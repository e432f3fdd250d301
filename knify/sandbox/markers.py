"""Finding the supervisor's lines among a job's bytes, wherever they stand, and taking them out.

A marker is `RS knify:TOKEN WORDS LF`. The token is 128 secret bits, so a job cannot forge one by
accident; all other bytes, lookalikes included, belong to the job.
"""

from __future__ import annotations

from dataclasses import dataclass

from knify import errors

_LONGEST = 256  # of a marker's words


@dataclass(frozen=True, slots=True)
class Marker:
    """One line of the supervisor, split into words: `reply ID STATUS`, `exit CODE`, …"""

    words: tuple[str, ...]


class Scanner:
    """Splits one stream, given in arbitrary pieces, into the job's bytes and our markers."""

    def __init__(self, token: str) -> None:
        """`token` is the secret of the turn, or of the channel before there is a turn."""
        self._needle = needle(token)
        self._held = b""

    def feed(self, data: bytes) -> list[bytes | Marker]:
        """What these bytes complete; a possible beginning of a marker is held back."""
        found: list[bytes | Marker] = []
        rest = self._held + data if self._held else data
        while (at := rest.find(self._needle)) >= 0:
            stop = rest.find(b"\n", at)
            if stop < 0 and len(rest) - at < len(self._needle) + _LONGEST:
                break
            words = rest[at + len(self._needle) : stop] if stop >= 0 else b"x" * (_LONGEST + 1)
            if len(words) > _LONGEST:  # not ours: the supervisor writes short lines
                found.append(rest[: at + 1])
                rest = rest[at + 1 :]
                continue
            if at:
                found.append(rest[:at])
            found.append(Marker(tuple(words.decode("ascii", "replace").split())))
            rest = rest[stop + 1 :]
        keep = self._maybe(rest)
        if keep:
            found.append(rest[:keep])
        self._held = rest[keep:]
        return found

    def flush(self) -> bytes:
        """What was held back, once nothing more can come."""
        held, self._held = self._held, b""
        return held

    def _maybe(self, rest: bytes) -> int:
        """Where a marker may begin at the end of `rest`; RS stands nowhere else in one."""
        at = rest.find(self._needle)
        if at < 0:
            at = rest.rfind(b"\x1e", max(0, len(rest) - len(self._needle)))
        return (
            at if at >= 0 and self._needle.startswith(rest[at:][: len(self._needle)]) else len(rest)
        )


def needle(token: str) -> bytes:
    """The beginning of each marker that carries this token."""
    if len(token) != 32 or not all(digit in "0123456789abcdef" for digit in token):
        raise errors.SandboxError("a nonce must be 32 hex digits")
    return b"\x1eknify:" + token.encode() + b" "

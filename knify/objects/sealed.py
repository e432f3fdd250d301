"""Archives at rest: encrypted with the installation's key in the age format.

The key file is an age identity file, so an operator can open a stored object with
`age -d -i master.key`. Both ways go through an unlinked temporary file: what `open` gives
has been authenticated to its last byte, so nobody begins to unpack half an archive.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyrage

from knify import errors, settings
from knify.objects import base, locate, master, scratch

SPOOL = 1024**2  # bytes held in memory before a temporary file is used


class Sealed:
    """An object store whose objects are encrypted; sizes and checksums are the ciphertext's."""

    def __init__(
        self, store: base.ObjectStore, identities: Sequence[master.Identity], spool: Path
    ) -> None:
        """The first identity seals, all of them open; `spool` is for temporary files."""
        self._store = store
        self._identities = list(identities)
        self._spool = spool

    def put(self, key: str, chunks: base.Chunks) -> base.Stored:
        """Encrypt and store; as `ObjectStore.put`, whatever `chunks` raises passes through."""
        base.check_key(key)
        recipient = self._identities[0].to_public()
        source = _Source(base.chunks_of(chunks))
        file = scratch.make(self._spool, SPOOL)
        try:
            try:
                pyrage.encrypt_io(source, file, [recipient])
                file.seek(0)
            except (pyrage.EncryptError, OSError) as failed:
                raise source.error(f"sealing {key} failed: {failed}") from failed
            return self._store.put(key, file)
        finally:
            scratch.close(file)

    def open(self, key: str) -> base.Reader:
        """The plain bytes; ObjectMissing, or ObjectStoreError when damaged or not ours."""
        with self._store.open(key) as reader:
            source = _Source(iter(reader))
            file = scratch.make(self._spool, SPOOL)
            try:
                pyrage.decrypt_io(source, file, self._identities)
                size = file.tell()
                file.seek(0)
            except (pyrage.DecryptError, OSError) as failed:
                scratch.close(file)
                raise source.error(
                    f"{key} is damaged or was sealed with another master key: {failed}"
                ) from failed
        return base.Reader(file, size, contextlib.nullcontext)

    def seal(self, text: str) -> str:
        """A short text, encrypted: for secrets that are kept in Redis."""
        recipient = self._identities[0].to_public()
        return base64.b64encode(pyrage.encrypt(text.encode(), [recipient])).decode()

    def unseal(self, sealed: str) -> str:
        """The text again; ObjectStoreError when it is damaged or not ours."""
        try:
            return str(pyrage.decrypt(base64.b64decode(sealed), self._identities).decode())
        except (pyrage.DecryptError, binascii.Error, UnicodeError) as failed:
            raise errors.ObjectStoreError(
                "a sealed text is damaged or was sealed with another master key"
            ) from failed


class _Source:
    """Bytes for the library to read; keeps the cause that the library would flatten to text."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = memoryview(b"")
        self._failed: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; empty at the end."""
        try:
            while not self._piece:
                self._piece = memoryview(next(self._pieces))
        except StopIteration:
            return b""
        except BaseException as failed:
            self._failed = failed
            raise
        part, self._piece = self._piece[:size], self._piece[size:]
        return bytes(part)

    def error(self, message: str) -> BaseException:
        """What the source itself raised, else an ObjectStoreError."""
        return self._failed or errors.ObjectStoreError(message)


def connect(config: settings.Settings, store: base.ObjectStore) -> Sealed:
    """`store`, sealed with the master key, which the first start makes."""
    return Sealed(store, master.load_or_make(config.master_key_file), locate.spool(config))

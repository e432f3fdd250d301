"""Archives at rest: encrypted with the installation's key in the age format.

The key file is an age identity file, so an operator can open a stored object with
`age -d -i master.key`. What `open` gives went through an unlinked temporary file: it has been
authenticated to its last byte, so nobody begins to unpack half an archive. `copy` passes on each
64 KiB as soon as they are authentic, and only its end says whether that was all.
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
#: The age format: a text header, a nonce, then chunks with a tag each (age-encryption.org/v1).
_HEADER, _NONCE, _CHUNK, _TAG = 16 * 1024, 16, 64 * 1024, 16


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
        recipient = self._identities[0].to_public()
        source = _Source(base.chunks_of(chunks))
        with self._store.writing(key) as out:
            sink = _Sink(out, key)
            try:
                pyrage.encrypt_io(source, sink, [recipient])
            except (pyrage.EncryptError, OSError) as failed:
                raise _cause(failed, f"sealing {key} failed", sink, source) from failed
        return sink.stored

    def copy(self, key: str, out: base.Sink) -> None:
        """Push the plain bytes into `out`, whose errors pass through.

        ObjectMissing, or ObjectStoreError when damaged or not ours, perhaps behind many bytes.
        """
        with self._store.open(key) as reader:
            source, sink = _Source(iter(reader)), _Sink(out, key)
            try:
                pyrage.decrypt_io(source, sink, self._identities)
            except (pyrage.DecryptError, OSError) as failed:
                raise _cause(failed, f"{key} is damaged or not ours", sink, source) from failed

    def size(self, key: str) -> int:
        """How many plain bytes `copy` will give; as it. Only the beginning is read."""
        with self._store.open(key, 0, _HEADER) as reader:
            start = reader.read()
        begin = start.find(b"\n--- ")
        header = start.find(b"\n", begin + 1) + 1
        if begin < 0 or header == 0:
            raise errors.ObjectStoreError(f"{key} is no sealed object")
        sealed = self._store.stat(key).size - header - _NONCE
        return sealed - _TAG * -(-sealed // (_CHUNK + _TAG))

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
                message = f"{key} is damaged or was sealed with another master key"
                raise _cause(failed, message, source) from failed
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
        self.failed: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; empty at the end."""
        try:
            while not self._piece:
                self._piece = memoryview(next(self._pieces))
        except StopIteration:
            return b""
        except BaseException as failed:
            self.failed = failed
            raise
        part, self._piece = self._piece[:size], self._piece[size:]
        return bytes(part)


class _Sink:
    """Passes on what the library writes, counts it, and keeps its cause likewise."""

    def __init__(self, out: base.Sink, key: str) -> None:
        self._out = out
        self._key = key
        self._tally = base.Tally()
        self.failed: BaseException | None = None

    @property
    def stored(self) -> base.Stored:
        """What was written so far."""
        return self._tally.stored(self._key)

    def write(self, data: bytes) -> int:
        """All of it."""
        try:
            self._tally.add(data)
            return self._out.write(data)
        except BaseException as failed:
            self.failed = failed
            raise

    def flush(self) -> None:
        """Nothing is held back."""


def _cause(failed: Exception, message: str, *ends: _Source | _Sink) -> BaseException:
    """What one of the ends itself raised, else an ObjectStoreError."""
    raised = next((end.failed for end in ends if end.failed is not None), None)
    return raised or errors.ObjectStoreError(f"{message}: {failed}")


def connect(config: settings.Settings, store: base.ObjectStore) -> Sealed:
    """`store`, sealed with the master key, which the first start makes."""
    return Sealed(store, master.load_or_make(config.master_key_file), locate.spool(config))

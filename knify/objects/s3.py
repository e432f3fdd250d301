"""Objects in any S3-compatible store: `s3://bucket/prefix`.

S3 wants an object's metadata, here its SHA-256, before the first byte, and a retry wants the
bytes once more. So what cannot be read twice is spooled first: in memory up to SPOOL bytes,
beyond that in an unlinked temporary file. Uploads go in parts, which are aborted on failure;
those of a process that died need the bucket's own rule for incomplete uploads. Credentials come
from where AWS's own tools look (`AWS_ACCESS_KEY_ID` …).
"""

from __future__ import annotations

import contextlib
import io
import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import boto3
import botocore.config
import botocore.exceptions
from boto3.s3.transfer import TransferConfig
from urllib3.exceptions import HTTPError

from knify import errors
from knify.objects import base, scratch

SPOOL = 8 * 1024**2  # bytes held in memory before a temporary file is used
CONNECT_SECONDS = 3.0
READ_SECONDS = 30.0
PROBE_SECONDS = 1.5  # a readiness check must answer quickly

_MISSING = ("404", "NoSuchKey", "NotFound")
_EMPTY_RANGE = ("416", "InvalidRange")
_BATCH = 1_000  # objects in one DeleteObjects call


@dataclass(frozen=True, slots=True)
class Options:
    """How one S3 differs from another."""

    endpoint_url: str | None = None  # None: AWS
    region: str | None = None  # None: what AWS's own variables and files say, else us-east-1
    addressing: str = "path"  # the bucket's place: path, virtual (in the host's name) or auto
    encryption: str | None = None  # AES256 | aws:kms, of each object; None: the bucket's own
    kms_key: str | None = None  # None: the account's own key for S3
    ca: Path | None = None  # authorities in place of the system's

    @property
    def of_writing(self) -> dict[str, str]:
        """What every new object is asked for."""
        said = {"ServerSideEncryption": self.encryption, "SSEKMSKeyId": self.kms_key}
        return {name: value for name, value in said.items() if value}


class S3:
    """An object store below `prefix` in one bucket, which must exist."""

    def __init__(
        self,
        bucket: str,
        prefix: str,
        spool: Path,
        *,
        endpoint_url: str | None = None,
        options: Options | None = None,
    ) -> None:
        """`spool` is a folder for temporary files; `endpoint_url` where nothing else is special."""
        options = options or Options(endpoint_url)
        self._of_writing = options.of_writing
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._spool = spool
        self._clients = _Clients(options, CONNECT_SECONDS, READ_SECONDS, attempts=3)
        self._probes = _Clients(options, PROBE_SECONDS, PROBE_SECONDS, attempts=1)
        self._transfer = TransferConfig(
            multipart_threshold=SPOOL, multipart_chunksize=SPOOL, use_threads=False
        )

    def put(self, key: str, chunks: base.Chunks) -> base.Stored:
        """See ObjectStore."""
        path = self._path(key)
        with self._rereadable(chunks) as file:
            start = file.tell()
            stored = _tally(file, key)
            file.seek(start)
            with _translated():
                self._client.upload_fileobj(
                    _Unclosable(file),
                    self._bucket,
                    path,
                    ExtraArgs={"Metadata": {"sha256": stored.sha256}, **self._of_writing},
                    Config=self._transfer,
                )
        return stored

    @contextlib.contextmanager
    def writing(self, key: str) -> Iterator[base.Sink]:
        """See ObjectStore: spooled first, as `put` does."""
        with scratch.holding((), self._spool, SPOOL) as file:
            yield scratch.Sink(file, self._spool)
            with scratch.translated(self._spool):
                file.seek(0)
            self.put(key, file)

    def open(self, key: str, start: int = 0, end: int | None = None) -> base.Reader:
        """See ObjectStore."""
        base.clip(start, start, end)
        path = self._path(key)
        if start == end:
            return self._empty(key)
        span = {} if (start, end) == (0, None) else {"Range": _range(start, end)}
        try:
            with _translated(key):
                got = self._client.get_object(Bucket=self._bucket, Key=path, **span)
        except _EmptyRangeError:
            return self._empty(key)
        return base.Reader(got["Body"], got["ContentLength"], _translated)

    def stat(self, key: str) -> base.Stat:
        """See ObjectStore; `sha256` is empty when something else than Knify wrote the object."""
        with _translated(key):
            got = self._client.head_object(Bucket=self._bucket, Key=self._path(key))
        checksum = got.get("Metadata", {}).get("sha256", "")
        return base.Stat(key, got["ContentLength"], checksum, _ms(got["LastModified"]))

    def list(self, prefix: str = "") -> Iterator[base.Listed]:
        """See ObjectStore; what comes or goes meanwhile may or may not be listed."""
        below = base.check_prefix(prefix)
        start = self._prefix + (f"{below}/" if below else "")
        pages = self._client.get_paginator("list_objects_v2")
        with _translated():
            for page in pages.paginate(Bucket=self._bucket, Prefix=start):
                for row in page.get("Contents", ()):
                    key = row["Key"].removeprefix(self._prefix)
                    yield base.Listed(key, row["Size"], _ms(row["LastModified"]))

    def delete(self, key: str) -> None:
        """See ObjectStore."""
        with _translated():
            self._client.delete_object(Bucket=self._bucket, Key=self._path(key))

    def delete_prefix(self, prefix: str) -> int:
        """See ObjectStore."""
        keys = [row.key for row in self.list(base.check_key(prefix.removesuffix("/")))]
        for first in range(0, len(keys), _BATCH):
            self._delete_batch(keys[first : first + _BATCH])
        return len(keys)

    def check(self) -> None:
        """See ObjectStore: the bucket exists and the credentials are accepted."""
        with _translated():
            self._probe.head_bucket(Bucket=self._bucket)

    @property
    def _client(self) -> Any:
        return self._clients.mine()

    @property
    def _probe(self) -> Any:
        return self._probes.mine()

    def _path(self, key: str) -> str:
        return self._prefix + base.check_key(key)

    def _empty(self, key: str) -> base.Reader:
        self.stat(key)  # ObjectMissing when there is none
        return base.Reader(io.BytesIO(), 0, _translated)

    @contextlib.contextmanager
    def _rereadable(self, chunks: base.Chunks) -> Iterator[IO[bytes]]:
        """The file itself where one is given, else a spooled copy."""
        if isinstance(chunks, io.IOBase) and chunks.seekable():
            yield cast(IO[bytes], chunks)
            return
        with scratch.holding(base.chunks_of(chunks), self._spool, SPOOL) as file:
            yield file

    def _delete_batch(self, keys: Sequence[str]) -> None:
        rows = [{"Key": self._path(key)} for key in keys]
        with _translated():
            got = self._client.delete_objects(
                Bucket=self._bucket, Delete={"Objects": rows, "Quiet": True}
            )
        if failed := got.get("Errors"):
            raise errors.ObjectStoreError(
                f"{len(failed)} objects were not deleted: {failed[0].get('Message')}"
            )


class _Unclosable:
    """A file that the transfer library reads and rewinds but, as it likes to, cannot close."""

    def __init__(self, file: IO[bytes]) -> None:
        self.read = file.read
        self.seek = file.seek
        self.tell = file.tell

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """Its owner closes it."""


class _EmptyRangeError(Exception):
    """S3's 416: the range begins behind the object's end."""


class _Clients:
    """One client for all threads, but under gevent one for each: its sockets are that thread's.

    They share a session, so another one costs 0.3 MB and 12 ms. A body is read to its end in the
    thread that opened it.
    """

    def __init__(self, options: Options, connect: float, read: float, attempts: int) -> None:
        self._session = boto3.session.Session()
        self._lock = threading.Lock()  # a session makes one client at a time
        self._clients: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        self._options = options
        self._config = botocore.config.Config(
            connect_timeout=connect,
            read_timeout=read,
            retries={"mode": "standard", "total_max_attempts": attempts},
            s3={"addressing_style": options.addressing},
            # Newer checksum trailers are not understood by every compatible store.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )

    def mine(self) -> Any:
        """The calling thread's."""
        owner = self._owner()
        found = self._clients.get(owner)
        if found is None:
            with self._lock:
                found = self._clients.get(owner) or self._made()
                self._clients[owner] = found
        return found

    def _owner(self) -> Any:
        monkey = sys.modules.get("gevent.monkey")
        if monkey is None or not monkey.is_module_patched("socket"):
            return self
        return sys.modules["gevent"].get_hub()

    def _made(self) -> Any:
        options = self._options
        return self._session.client(
            "s3",
            endpoint_url=options.endpoint_url,
            region_name=options.region or self._session.region_name or "us-east-1",
            verify=str(options.ca) if options.ca else None,
            config=self._config,
        )


def _tally(file: IO[bytes], key: str) -> base.Stored:
    tally = base.Tally()
    while piece := file.read(base.CHUNK):
        tally.add(piece)
    return tally.stored(key)


def _range(start: int, end: int | None) -> str:
    return f"bytes={start}-{'' if end is None else end - 1}"


def _ms(moment: Any) -> int:
    return int(moment.timestamp() * 1000)


@contextlib.contextmanager
def _translated(key: str | None = None) -> Iterator[None]:
    """The library's errors become the tree's; with a `key`, a 404 is a missing object."""
    try:
        yield
    except botocore.exceptions.ClientError as failed:
        code = str(failed.response.get("Error", {}).get("Code", ""))
        if key is not None and code in _MISSING:
            raise errors.ObjectMissing(f"no object {key}") from failed
        if code in _EMPTY_RANGE:
            raise _EmptyRangeError from failed
        raise _error(failed) from failed
    except (botocore.exceptions.BotoCoreError, boto3.exceptions.Boto3Error) as failed:
        raise _error(failed) from failed
    except (HTTPError, OSError) as failed:  # while a body is read
        raise _error(failed) from failed


def _error(failed: Exception) -> errors.ObjectStoreError:
    return errors.ObjectStoreError(f"S3 failed: {failed}")

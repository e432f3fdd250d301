"""Sends calls over blocking connections: again when that helps, and never when it may harm."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

import knify
from knify.client import access, answers, calls, errors, files, pack, retry, stream

T = TypeVar("T")

_CHUNK: Final = 256 * 1024
#: The server unpacks and checks an upload before it answers.
_UPLOAD_TIMEOUT: Final = httpx.Timeout(10.0, read=600.0, write=60.0)
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")
_ARCHIVE: Final = re.compile(r"\.(tar|tar\.gz|tgz|tar\.zst|zip)$")


class Wire:
    """One server's connections. An asynchronous twin would differ in this file only."""

    def __init__(self, where: access.Access, timeout: float, policy: retry.Policy) -> None:
        """Nothing is sent yet."""
        self._where = where
        self._policy = policy
        key = {"Authorization": f"Bearer {where.api_key}"} if where.api_key else {}
        self._http = httpx.Client(
            base_url=where.url,
            headers={"User-Agent": f"knify/{knify.__version__}"} | key,
            timeout=timeout,
            trust_env=not where.loopback,
            follow_redirects=False,  # the key goes to this server only
        )

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def send(self, call: calls.Call) -> httpx.Response:
        """The answer. Raises ApiError for a refusal, ConnectionFailed when there is none."""
        return self._repeat(call, lambda: answers.accepted(self._http.send(self._request(call))))

    def download(self, call: calls.Call, path: str, file: Path) -> files.Downloaded:
        """A file; from its beginning again when the connection breaks."""

        def once() -> files.Downloaded:
            with self._open(call) as response:
                promised = answers.checksum(response)
                return files.save(response.iter_bytes(_CHUNK), path, file, promised)

        return self._repeat(call, once)

    def upload(self, path: Path, name: str | None, idempotency_key: str | None) -> httpx.Response:
        """A folder or an archive as multipart, streamed. Raises WorkspaceInvalid."""
        call = calls.upload(idempotency_key)

        def once() -> httpx.Response:
            with _archive(path) as (filename, file):
                request = self._http.build_request(
                    call.method,
                    call.path,
                    headers=dict(call.headers),
                    data={"name": name or _name_of(path)},
                    files={"workspace": (filename, file, "application/octet-stream")},
                    timeout=_UPLOAD_TIMEOUT,
                )
                return answers.accepted(self._http.send(request))

        return self._repeat(call, once)

    def follow(
        self, job_id: str, kind: str, after: str | None, *, raw: bool = False
    ) -> Iterator[answers.Frame]:
        """A stream's frames, each once and in order, over as many connections as it takes."""
        call = stream.call(job_id, kind, raw=raw)
        position = stream.Position(after)
        while not position.over:
            seen, since = position.after, time.monotonic()
            refused = None
            try:
                yield from self._connection(call, position)
            except httpx.TransportError:
                pass
            except errors.ApiError as busy:
                if busy.status not in retry.BUSY:
                    raise
                refused = busy
            else:
                self._ended_early(job_id, position, seen)
            if position.after == seen and not position.over:
                lived = time.monotonic() - since
                time.sleep(position.came_for_nothing(self._policy, lived, refused))

    def _connection(self, call: calls.Call, position: stream.Position) -> Iterator[answers.Frame]:
        with self._open(call, position.headers(), stream.TIMEOUT) as response:
            if response.status_code == 204:
                position.over = True
                return
            for event in stream.events_of(response).iter_sse():
                frame = position.saw(event)
                if frame is not None:
                    yield frame
                if position.over:
                    return

    def _ended_early(self, job_id: str, position: stream.Position, seen: str | None) -> None:
        """A stream that ended without news is over only if its job had ended before.

        That happens where a stream has no entries at all, so that there is nothing to resume from.
        """
        if position.over or position.after != seen:
            return
        position.over = position.job_ended
        position.job_ended = answers.job(self.send(calls.job(job_id))).ended

    def _repeat(self, call: calls.Call, once: Callable[[], T]) -> T:
        attempt = 1
        while True:
            failure: errors.ApiError | errors.ConnectionFailed
            try:
                return once()
            except errors.ApiError as refused:
                again = call.repeatable and refused.status in retry.BUSY
                retry_after, failure = refused.retry_after, refused
            except httpx.TransportError as broken:
                unsent = isinstance(broken, httpx.ConnectError | httpx.ConnectTimeout)
                again = call.repeatable or unsent
                retry_after, failure = None, self._no_answer(broken)
            delay = self._policy.delay(attempt, retry_after)
            if not again or attempt >= self._policy.attempts or delay is None:
                raise failure
            time.sleep(delay)
            attempt += 1

    def _request(self, call: calls.Call) -> httpx.Request:
        return self._http.build_request(
            call.method,
            call.path,
            params=dict(call.params) or None,
            json=call.body,
            headers=dict(call.headers),
        )

    @contextlib.contextmanager
    def _open(
        self, call: calls.Call, headers: dict[str, str] | None = None, timeout: Any = None
    ) -> Iterator[httpx.Response]:
        """An accepted answer whose body has not been read."""
        request = self._request(call)
        request.headers.update(headers or {})
        if timeout is not None:
            request.extensions["timeout"] = timeout.as_dict()
        response = self._http.send(request, stream=True)
        try:
            if not response.is_success:
                response.read()
            yield answers.accepted(response)
        finally:
            response.close()

    def _no_answer(self, failed: httpx.TransportError) -> errors.ConnectionFailed:
        url = self._where.url
        if isinstance(failed, httpx.TimeoutException) and not isinstance(
            failed, httpx.ConnectTimeout
        ):
            return errors.ConnectionFailed(f"the server at {url} did not answer in time")
        start = "start it with `knify up`" if self._where.loopback else "check KNIFY_URL"
        reason = str(failed) or type(failed).__name__
        return errors.ConnectionFailed(f"no Knify server answers at {url} ({reason}): {start}")


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[tuple[str, Any]]:
    """The file name and the readable thing to be sent for a folder or an archive."""
    try:
        if path.is_dir():
            yield "workspace.tar.gz", pack.Reader(pack.archive(path))
        elif _ARCHIVE.search(path.name):
            with path.open("rb") as file:
                yield path.name, file
        else:
            raise errors.WorkspaceInvalid(f"{path} is neither a folder nor a .tar, .tar.gz or .zip")
    except OSError as failed:
        raise errors.WorkspaceInvalid(f"cannot read {path}: {failed}") from failed


def _name_of(path: Path) -> str:
    """A workspace's name from that of its folder or archive."""
    name = _ARCHIVE.sub("", path.resolve().name)
    return _NOT_IN_NAMES.sub("-", name).lstrip("._-")[:100] or pack.TOP

"""A folder or an archive as a workspace: one multipart request, made while it is sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import httpx

from knify.client import errors, files, pack, records, steps
from knify.client.calls import workspaces

_CHUNK: Final = 256 * 1024
#: The server unpacks and checks an upload before it answers.
_TIMEOUT: Final = httpx.Timeout(10.0, read=600.0, write=60.0)
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")
_ARCHIVE: Final = re.compile(r"\.(tar|tar\.gz|tgz|tar\.zst|zip)$")


def upload_workspace(
    path: str | Path,
    name: str | None = None,
    idempotency_key: str | None = None,
    *,
    progress: files.Progress | None = None,
) -> steps.Steps[records.Workspace]:
    """Upload a folder, packed on the way, or an archive as it is.

    Of a folder `.git`, `.venv`, `__pycache__`, `knify-job_*` and what its `.knifyignore` names
    stay here.

    `name`: by default that of the folder or archive. `progress` hears how many bytes have been
    read, and of how many. Raises WorkspaceInvalid.
    """
    source = Path(path)
    chosen = name or _name_of(source)
    call = workspaces.upload(idempotency_key)
    boundary = call.headers["Content-Type"].partition("boundary=")[2]

    def body() -> Iterator[bytes]:
        return _form(boundary, chosen, *_archive(source, progress))

    send = steps.Ask(call, body, _TIMEOUT)
    response: httpx.Response = yield from steps.patiently(send, call.repeatable)
    return call.parse(response)


def _form(boundary: str, name: str, suffix: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The parts of the form as the bytes of a body."""
    part = f"--{boundary}\r\nContent-Disposition: form-data; name="
    yield f'{part}"name"\r\n\r\n{name}\r\n'.encode()
    file = f'"workspace"; filename="workspace{suffix}"'
    yield f"{part}{file}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()
    try:
        yield from chunks
    except OSError as failed:
        raise errors.WorkspaceInvalid(f"cannot read the workspace: {failed}") from failed
    yield f"\r\n--{boundary}--\r\n".encode()


def _archive(path: Path, progress: files.Progress | None) -> tuple[str, Iterator[bytes]]:
    """The suffix and the bytes of what is sent for a folder or an archive."""
    if path.is_dir():
        total = pack.size(path) if progress else 0
        return ".tar.gz", pack.archive(path, _counted(progress, total))
    if (known := _ARCHIVE.search(path.name)) and path.is_file():
        return known[0], _read(path, _counted(progress, path.stat().st_size))
    what = "is neither a folder nor a .tar, .tar.gz, .tar.zst or .zip"
    raise errors.WorkspaceInvalid(f"{path} {what if path.exists() else 'does not exist'}")


def _read(path: Path, heard: Callable[[int], None]) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            heard(len(chunk))
            yield chunk


def _counted(progress: files.Progress | None, total: int) -> Callable[[int], None]:
    """Adds up what is read."""
    done = 0

    def heard(size: int) -> None:
        nonlocal done
        done += size
        if progress is not None:
            progress(done, total)

    return heard


def _name_of(path: Path) -> str:
    """A workspace's name from that of its folder or archive."""
    name = _ARCHIVE.sub("", path.resolve().name)
    return _NOT_IN_NAMES.sub("-", name).lstrip("._-")[:100] or pack.TOP

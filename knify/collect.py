"""Artifacts: the files that a turn made or changed, read out of a hostile workspace."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from knify import clock, errors, globs, masking, model, searching, units
from knify.objects import base
from knify.sandbox import tree
from knify.services import artifacts as stored

MOST_FILES = 10_000  # artifacts of one execution
_TOO_LARGE = "left out, all together exceed KNIFY_ARTIFACT_BYTES or the job's disk"
_LATE = "collecting took longer than KNIFY_COLLECT_SECONDS"
_CUT = "the job was cancelled while its files were collected"
_ANY = "application/octet-stream"
_MOST_PROBLEMS = 20  # said one by one


@dataclass(frozen=True, slots=True)
class Made:
    """An artifact that is no file of the workspace."""

    path: str
    chunks: Iterable[bytes]
    content_type: str
    is_patch: bool = False  # of git's


@dataclass(frozen=True, slots=True)
class Collected:
    """What was stored, and what could not be, in words for the user."""

    artifacts: list[model.Artifact]
    problems: list[str]
    is_cut: bool = False  # somebody cancelled the job meanwhile


def save_baseline(store: base.ObjectStore, execution_id: str, root: Path) -> None:
    """Remember the workspace as it is before the turn; an empty one needs no memory."""
    before = tree.listing(root)
    if before:
        store.put(stored.baseline_key(execution_id), [tree.dump(before)])


def forget_baseline(store: base.ObjectStore, execution_id: str) -> None:
    """The turn has ended for good. Not earlier: a repeated collection compares with it again."""
    store.delete(stored.baseline_key(execution_id))


def artifacts(
    store: base.ObjectStore,
    x: model.Execution,
    root: Path,
    *,
    limit: int,
    check: Callable[[], None] = tree.nothing,
    made: Sequence[Made] = (),
    masks: masking.Masks = masking.NONE,
) -> Collected:
    """Store what the turn made; `limit` is in bytes for all together. `publish` comes next.

    A file that holds what `masks` knows is listed as withheld, and nothing of it is kept.
    `made` comes first, and files of such names do not count.
    `check` is called before each small piece of work. What it raises ends the collection: after
    OutOfTime or CutShort what is stored by then is kept, and the rest is told as a problem.
    Safe to repeat: the manifest comes last and replaces the one before.
    """
    is_cut = False
    found: list[model.Artifact] = []
    problems: list[str] = []
    try:
        for one in made:
            found.append(_keep(store, x.id, len(found), one, check, masks))
        left = limit - sum(artifact.size for artifact in found if not artifact.withheld)
        _collect(store, x, root, left, check, masks, found, problems)
    except errors.OutOfTime as late:
        is_cut = isinstance(late, errors.CutShort)
        problems.insert(0, f"{_CUT if is_cut else _LATE}: what was not stored by then is left out")
    if len(problems) > _MOST_PROBLEMS:
        more = len(problems) - _MOST_PROBLEMS
        problems = [*problems[:_MOST_PROBLEMS], f"and {more} more files left out"]
    return Collected(found, problems, is_cut)


def publish(store: base.ObjectStore, x: model.Execution, found: Collected) -> None:
    """From now on there are these artifacts, and the turn has ended as its record says."""
    stored.save_manifest(store, x.id, found.artifacts, x.outcome)


def _collect(
    store: base.ObjectStore,
    x: model.Execution,
    root: Path,
    left: int,
    check: Callable[[], None],
    masks: masking.Masks,
    found: list[model.Artifact],
    problems: list[str],
) -> None:
    """Add to `found` what is stored, and to `problems` what is not."""
    try:
        names = _wanted(store, x, root, check)
    except errors.TooLarge as large:
        problems.append(large.message)
        return
    taken = {artifact.path for artifact in found}
    for n, name in enumerate(names, len(found)):
        check()
        if n >= MOST_FILES:
            more = len(names) + len(taken) - n
            problems.append(f"{more} files left out: at most {MOST_FILES} are kept")
            break
        if name in taken:
            problems.append(f"{name}: left out, another artifact has this name")
            continue
        try:
            artifact = _store(store, x.id, n, root, name, left, check, masks)
        except (errors.NotFound, OSError):
            continue  # gone, or no regular file any more
        except errors.TooLarge as large:
            problems.append(f"{name}: {large.message}")
            continue
        left -= 0 if artifact.withheld else artifact.size
        found.append(artifact)


def describe(found: list[model.Artifact]) -> str:
    """`report.md, result.json and 3 more (12.0 KiB)`."""
    names = ", ".join(artifact.path for artifact in found[:3])
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"{names}{more} ({units.show_size(sum(a.size for a in found))})"


def withheld(found: Sequence[model.Artifact]) -> list[str]:
    """A line for each that is, or for as many as anybody reads."""
    lines = [f"{a.path}: withheld, it holds the value of a secret" for a in found if a.withheld]
    if len(lines) > _MOST_PROBLEMS:
        more = len(lines) - _MOST_PROBLEMS
        lines = [*lines[:_MOST_PROBLEMS], f"and {more} more files withheld"]
    return lines


def _wanted(
    store: base.ObjectStore, x: model.Execution, root: Path, check: Callable[[], None]
) -> list[str]:
    """The paths that are artifacts. TooLarge when there are too many files to look at."""
    after = tree.listing(root, check=check)
    if not x.spec.artifact_patterns:
        return tree.changed(_baseline(store, x.id), after)
    wanted, names = globs.Globs(x.spec.artifact_patterns), []
    for path in after:
        check()
        if wanted.match(path):
            names.append(path)
    return sorted(names)


def _baseline(store: base.ObjectStore, execution_id: str) -> tree.Listing:
    try:
        with store.open(stored.baseline_key(execution_id)) as reader:
            return tree.load(reader.read())
    except errors.ObjectMissing:
        return {}


def _keep(
    store: base.ObjectStore,
    execution_id: str,
    n: int,
    made: Made,
    check: Callable[[], None],
    masks: masking.Masks,
) -> model.Artifact:
    def chunks() -> Iterator[bytes]:
        for piece in made.chunks:
            check()
            yield piece

    look = searching.patch if made.is_patch else searching.through
    key, kind = stored.content_key(execution_id, n), made.content_type
    return _put(store, key, made.path, kind, None, look(masks, chunks()) if masks else chunks())


def _store(
    store: base.ObjectStore,
    execution_id: str,
    n: int,
    root: Path,
    name: str,
    left: int,
    check: Callable[[], None],
    masks: masking.Masks,
) -> model.Artifact:
    key, kind = stored.content_key(execution_id, n), mimetypes.guess_type(name)[0]
    with tree.open_file(root, name) as file:
        size = os.fstat(file.fileno()).st_size
        shown = masks.text(name)
        if shown != name:  # its very name holds one
            return _withheld(key, shown, kind, size)
        if size > left:
            raise errors.TooLarge(_TOO_LARGE)
        chunks = _bounded(file, left, check)
        found = searching.through(masks, chunks) if masks else chunks
        return _put(store, key, name, kind, size, found)


def _put(
    store: base.ObjectStore,
    key: str,
    path: str,
    kind: str | None,
    size: int | None,
    chunks: Iterable[bytes],
) -> model.Artifact:
    """Store it, or say that it is withheld; `size`: what is said of it then."""
    try:
        put = store.put(key, chunks)
    except searching.Held:
        store.delete(key)  # of an attempt before, when less was to be hidden
        return _withheld(key, path, kind, size or 0)
    return model.Artifact(
        path=path,
        size=put.size,
        sha256=put.sha256,
        content_type=kind or _ANY,
        created_at=clock.now_ms(),
        key=put.key,
    )


def _withheld(key: str, path: str, kind: str | None, size: int) -> model.Artifact:
    """A checksum would tell whoever guesses the rest of the file."""
    now = clock.now_ms()
    return model.Artifact(path, size, "", kind or _ANY, now, key, withheld=True)


def _bounded(file: BinaryIO, left: int, check: Callable[[], None]) -> Iterator[bytes]:
    """A file that grows while it is read ends in an error, not in a full disk."""
    while part := file.read(base.CHUNK):
        check()
        left -= len(part)
        if left < 0:
            raise errors.TooLarge(_TOO_LARGE)
        yield part

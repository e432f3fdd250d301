"""The files that a job made: shown as far as that is harmless, and downloaded as attachments."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import flask

from api import aside, context, downloads, measure
from api.artifacts import sending
from api.artifacts import view as artifacts_view
from api.console import blueprint, diffs, forms, joblines, markdown, plots
from knify import clock, errors, model
from knify.core import Core
from knify.objects import base
from knify.services import artifacts, metrics

_SHOWN: Final = 256 * 1024  # bytes of a text
_MARKED_UP: Final = 60_000  # characters of Markdown that are laid out
_JSON: Final = 1024**2  # of a JSON file that is laid out
_NODES: Final = 50_000  # lists and objects in it
_IMAGE: Final = 16 * 1024**2
#: The pictures that are shown, by how they begin; SVG is a program.
_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"), (b"GIF89a", "image/gif"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Preview:
    """A file as it is shown: `kind` is text, markdown, json, patch, image, none."""

    kind: str
    text: str = ""
    body: tuple[markdown.Node, ...] = ()
    lines: list[diffs.Line] = field(default_factory=list)
    note: str = ""


def listing(core: Core, x: model.Execution) -> tuple[list[model.Artifact], str]:
    """The job's files, and why there are none to see."""
    if x.completed_at is None:
        return [], "Files are stored when the job ends."
    try:
        return aside.reader(x.tenant)(lambda: artifacts.of(core, x)), ""
    except (errors.ObjectStoreError, errors.ArtifactsExpired) as failed:
        return [], forms.sentence(failed.message)


def preview(core: Core, artifact: model.Artifact) -> Preview:
    """What can be shown of it. ObjectStoreError."""
    if artifact.withheld:
        return Preview("none", note="It holds a secret of this job: nothing of it is kept.")
    read = aside.reader(context.tenant())
    head = read(functools.partial(_head, core, artifact, _JSON))
    if image_type(head) is not None:
        if artifact.size > _IMAGE:
            return Preview("none", note="This picture is too large to be shown: download it.")
        return Preview("image")
    whole = len(head) == artifact.size
    text = _decoded(head, whole=whole)
    if text is None:
        return Preview("none", note="This is no text: download it to look into it.")
    return aside.parser(context.tenant())(lambda: _of_text(artifact, text, whole=whole))


def _of_text(artifact: model.Artifact, text: str, *, whole: bool) -> Preview:
    name = artifact.path.lower()
    if name.endswith(".json") or artifact.content_type == "application/json":
        laid_out = _laid_out(text) if whole else None
        if laid_out is not None:
            shown = laid_out[:_SHOWN]
            return Preview("json", shown, note=_cut(len(laid_out) > _SHOWN))
    shown, note = text[:_SHOWN], _cut(not whole or len(text) > _SHOWN)
    if name.endswith((".md", ".markdown")):
        return Preview("markdown", shown, body=markdown.tree(shown[:_MARKED_UP]), note=note)
    if name.endswith((".patch", ".diff")) or shown.startswith("diff --git "):
        lines = diffs.of_patch(shown)
        return Preview("patch", lines=lines, note=note or _cut(len(lines) >= diffs.MOST))
    return Preview("text", shown, note=note)


def _cut(is_cut: bool) -> str:
    return "Only its beginning is shown: download the file for the rest." if is_cut else ""


def _laid_out(text: str) -> str | None:
    if measure.exceeds(text.encode(), b"[{", _NODES):
        return None
    try:
        value: Any = json.loads(text)
        return _beginning(json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(value))
    except (ValueError, RecursionError):
        return None


def _beginning(pieces: Iterable[str]) -> str:
    """A little more than is shown: deep in lists, each number has a line of two thousand spaces."""
    found, size = [], 0
    for piece in pieces:
        found.append(piece)
        size += len(piece)
        if size > _SHOWN:
            break
    return "".join(found)


def _decoded(head: bytes, *, whole: bool) -> str | None:
    if b"\0" in head:
        return None
    for less in range(1 if whole else 4):  # a character that was cut
        try:
            return head[: len(head) - less].decode("utf-8")
        except UnicodeDecodeError:
            continue
    return None


def image_type(head: bytes) -> str | None:
    """Of a file that begins so; None: it is no picture that is shown."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)


def _head(core: Core, artifact: model.Artifact, most: int) -> bytes:
    return b"".join(base.spans(core.objects, artifact.key, 0, min(artifact.size, most)))


def _one(job_id: str, n: int) -> model.Artifact:
    """By its place in the list, which never changes: some names fit into no address."""
    core, x = context.core(), joblines.find(job_id)
    found = artifacts.of(core, x)
    if not 0 <= n < len(found):
        raise errors.NotFound(f"{x.id} has no such file")
    return artifacts.there(found[n])


@blueprint.page("/jobs/<job_id>/files/<int:n>")
def get_file(job_id: str, n: int) -> flask.Response:
    """A file to be saved, or a range of it."""
    return sending.send(_one(job_id, n))


@blueprint.page("/jobs/<job_id>/files/<int:n>/image")
def get_image(job_id: str, n: int) -> flask.Response:
    """A picture for its preview: by what it is, whatever its name says. NotFound for any other."""
    core, artifact = context.core(), _one(job_id, n)
    read = aside.reader(context.tenant())
    kind = image_type(read(functools.partial(_head, core, artifact, 16)))
    if kind is None or artifact.size > _IMAGE:
        raise errors.NotFound("this file is no picture that is shown")
    return sending.send(artifact.evolve(content_type=kind))


@blueprint.page("/jobs/<job_id>/files.tar.gz")
def get_archive(job_id: str) -> flask.Response:
    """All files as one archive."""
    core, x = context.core(), joblines.find(job_id)
    found: Sequence[model.Artifact] = artifacts.of(core, x)
    body = artifacts_view.archive(core.objects, found, aside.reader(x.tenant))
    return downloads.attachment(body, f"{x.id}-files.tar.gz", "application/gzip")


@blueprint.page("/jobs/<job_id>/metrics")
def get_metrics(job_id: str) -> flask.Response:
    """What the job took, as `plot.ts` draws it."""
    core, x = context.core(), joblines.find(job_id)
    found = metrics.series(core, [x], 0, 2**53, aside=aside.reader(x.tenant))
    start, end = x.started_at or x.created_at, x.completed_at or clock.now_ms()
    drawn = {
        "cpu": plots.Plot("CPU", "cores", {"CPU": found["cpu_usage"]}, start, end),
        "memory": plots.Plot("Memory", "bytes", {"Memory": found["memory_usage"]}, start, end),
    }
    return flask.jsonify({name: plot.data for name, plot in drawn.items()})

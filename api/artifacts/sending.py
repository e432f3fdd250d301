"""One file as an answer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import flask

from api import aside, context, downloads
from knify import model
from knify.objects import base


def send(artifact: model.Artifact) -> flask.Response:
    """The file, a range of it, or that it did not change."""
    same = downloads.unchanged(artifact.sha256)
    if same is not None:
        return same

    def body(first: int, behind: int) -> Iterator[bytes]:
        spans = base.spans(context.core().objects, artifact.key, first, behind)
        pieces = aside.pieces(spans, aside.reader(context.tenant()))
        start = next(pieces, b"")  # while an error can still become a proper answer
        return itertools.chain([start], pieces)

    name = artifact.path.rpartition("/")[2]
    file = downloads.File(name, artifact.content_type, artifact.size, artifact.sha256)
    return downloads.ranged(file, body)

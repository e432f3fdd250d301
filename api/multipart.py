"""A multipart form with one large file, read as it comes: the file goes to a sink, piece by piece.

The framework's own form parsing writes files in the server's one thread, which stalls all other
requests; here the caller decides where a piece is written. Only small fields are held in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import flask
from gunicorn.http.errors import InvalidChunkSize
from werkzeug.sansio import multipart

from api import errors as api_errors
from knify import errors

PIECE: Final = 1024**2  # bytes read, and given to the sink, at a time
FORM_BYTES: Final = 64 * 1024  # what a form adds to its file, fields included
_PARTS: Final = 16
_CUT = "the form ends early: send it again"


@dataclass(slots=True)
class Form:
    """What came, apart from the file's content."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None  # None: no file came


class Reader:
    """Reads a form with the file `file` and the optional text fields `texts`."""

    def __init__(
        self,
        file: str,
        texts: frozenset[str],
        sink: Callable[[bytes], None],
        cure: str,
        gate: Callable[[Mapping[str, str]], None] = lambda _: None,
    ) -> None:
        """`cure` ends each message about the form.

        `gate` is asked with the texts that came before the file, and may raise.
        """
        self._gate = gate
        self._file = file
        self._texts = texts
        self._sink = sink
        self._cure = cure
        self._form = Form()
        self._seen: set[str] = set()
        self._part = ""
        self._text = b""

    def read(self, next_piece: Callable[[], bytes]) -> Form:
        """To the end of the body. BadRequest, TooLarge, UnsupportedMediaType."""
        decoder = multipart.MultipartDecoder(
            _boundary(self._cure), max_form_memory_size=4 * PIECE, max_parts=_PARTS
        )
        piece: bytes | None = b""
        while piece is not None:
            piece = _checked(next_piece) or None
            try:
                decoder.receive_data(piece)
                self._take_all(decoder)
            except ValueError as failed:
                raise self._wrong("the form is malformed or ends early") from failed
        if decoder.state is not multipart.State.COMPLETE:
            raise errors.BadRequest(_CUT)
        return self._form

    def _take_all(self, decoder: multipart.MultipartDecoder) -> None:
        while not isinstance(event := decoder.next_event(), multipart.NeedData):
            if isinstance(event, multipart.Epilogue):
                return
            if isinstance(event, multipart.Field | multipart.File):
                self._begin(event)
            elif isinstance(event, multipart.Data):
                self._data(event)

    def _begin(self, part: multipart.Field | multipart.File) -> None:
        name = part.name
        is_file = isinstance(part, multipart.File)
        if name != self._file and name not in self._texts:
            raise self._wrong(f"unknown field {name[:100]!r}", name)
        if name in self._seen:
            raise self._wrong(f"the field {name!r} comes twice", name)
        if is_file != (name == self._file):
            kind = "text, not a file" if is_file else "a file, not text"
            raise self._wrong(f"the field {name!r} is to be {kind}", name)
        if isinstance(part, multipart.File):
            self._gate(self._form.fields)
            self._form.filename = part.filename
        self._seen.add(name)
        self._part, self._text = name, b""

    def _data(self, data: multipart.Data) -> None:
        if self._part == self._file:
            if data.data:
                self._sink(bytes(data.data))
            return
        self._text += data.data
        if len(self._text) > FORM_BYTES:
            raise errors.TooLarge(f"the field {self._part!r} is too long")
        if not data.more_data:
            self._form.fields[self._part] = self._text.decode("utf-8", "replace")

    def _wrong(self, problem: str, name: str | None = None) -> errors.BadRequest:
        return errors.BadRequest(
            f"{problem}: {self._cure}", detail={"field": (name or self._file)[:100]}
        )


def _boundary(cure: str) -> bytes:
    request = flask.request
    if request.mimetype != "multipart/form-data":
        raise api_errors.UnsupportedMediaType(f"send multipart/form-data: {cure}")
    boundary = request.mimetype_params.get("boundary", "")
    if not boundary or not boundary.isascii():
        raise errors.BadRequest(f"the Content-Type has no boundary: {cure}")
    return boundary.encode()


def _checked(next_piece: Callable[[], bytes]) -> bytes:
    try:
        return next_piece()
    except InvalidChunkSize as broken:
        raise errors.BadRequest("the body's chunks are malformed") from broken

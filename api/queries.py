"""Query parameters as strictly as bodies: each once, numbers and flags in one spelling."""

from __future__ import annotations

import re
from typing import Final

import marshmallow as ma
from werkzeug.datastructures import MultiDict

from knify import errors

FLAGS: Final = ("true", "false", "1", "0")
_WHOLE = re.compile(r"-?[0-9]{1,18}")


def check(sent: MultiDict[str, str], schema: ma.Schema) -> None:
    """BadRequest for what the schema's own fields would read too kindly.

    They take `1_0`, ` 1`, digits of other scripts and a dozen words for true, and of a name that
    stands twice the first value, where other readers take the last.
    """
    for name, values in sent.lists():
        if len(values) > 1:
            raise _bad(name, "stands twice")
        field = schema.fields.get(name)
        if isinstance(field, ma.fields.Integer) and not _WHOLE.fullmatch(values[0]):
            raise _bad(name, "must be a whole number")
        if isinstance(field, ma.fields.Boolean) and values[0] not in FLAGS:
            raise _bad(name, f"must be of {', '.join(FLAGS)}")


def _bad(name: str, words: str) -> errors.BadRequest:
    return errors.BadRequest(f"{name[:100]}: {words}", detail={"field": name[:100]})

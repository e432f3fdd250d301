"""What a client of a shell says: text for its input, or a signal."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from knify import errors, model
from knify.core import Core
from knify.services import shells


def into(core: Core, x: model.Execution) -> Callable[[str], None]:
    """Takes messages for this shell. BadRequest for what is none, or too much at a time."""

    def heard(text: str) -> None:
        kind, data = _read(text)
        answer = core.store.typed.give(x.id, kind, data)
        if answer != "ok":
            why = "the shell has ended" if answer == "ended" else "too much waits: type it again"
            raise errors.BadRequest(why)

    return heard


def _read(text: str) -> tuple[str, str]:
    try:
        said: Any = json.loads(text)
    except ValueError:
        said = None
    match said:
        case {"type": "input", "data": str(data), **rest} if data and not rest:
            return "input", data
        case {"type": "signal", "name": name, **rest} if name in shells.SIGNALS and not rest:
            return "signal", name
    raise errors.BadRequest(
        'say {"type": "input", "data": "ls\\n"}; a signal is {"type": "signal", "name": "INT"}'
    )

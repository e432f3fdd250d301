"""`sandbox task shell`: lines go to a shell in a task's sandbox, and what it says comes back."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from knify import errors
from knify.cli import entry, show, tasks

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

    from knify.client import Client

_TWICE: Final = 1.0  # seconds within which a second Ctrl-C leaves the shell
_PIECE: Final = 1_000  # characters of one message
_ENDED: Final = ("completed", "failed", "failed_preserved", "cancelled")


@tasks.task.command()
@tasks.task_argument
def shell(task_id: str) -> None:
    """Type into a shell in the sandbox of a task that has ended.

    It has no terminal of its own: lines are sent as they are entered. Ctrl-C interrupts what runs
    there, twice it leaves; so do `exit` and Ctrl-D. Its files stay changed. Needs the scope admin.
    """
    client = entry.client()
    opened = client.open_task_shell(task_id)
    with _connected(client, opened.url) as line:
        threading.Thread(target=_type, args=(line,), daemon=True).start()
        _listen(line)


def _connected(client: Client, url: str) -> ClientConnection:
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    where = f"ws{client.access.url.removeprefix('http')}{url}"
    try:
        return connect(where, open_timeout=20, max_size=None, proxy=None)
    except (OSError, TimeoutError, WebSocketException) as failed:
        raise errors.KnifyError(f"the shell cannot be reached: {show.clean(failed)}") from failed


def _listen(line: ClientConnection) -> None:
    """Until its end, or until somebody leaves; Ctrl-C goes to what runs there."""
    from websockets.exceptions import ConnectionClosed

    interrupted = 0.0
    while True:
        try:
            told = json.loads(line.recv())
        except KeyboardInterrupt:
            if time.monotonic() - interrupted < _TWICE:
                _send(line, {"type": "input", "data": "exit\n"})
                return
            interrupted = time.monotonic()
            _send(line, {"type": "signal", "name": "INT"})
            continue
        except ConnectionClosed:
            raise errors.KnifyError("the shell's connection broke: come again") from None
        if told.get("type") == "state_change" and told.get("state") in _ENDED:
            show.line(f"the shell is over: {told.get('message')}", err=True, dim=True)
            return
        _show(told)


def _show(told: dict[str, Any]) -> None:
    if told.get("type") == "output" and told.get("line") is not None:
        show.line(told["line"], err=told.get("stream") == "stderr")
    elif told.get("type") == "error":
        show.line(f"! {told.get('message')}", err=True, fg="yellow")


def _type(line: ClientConnection) -> None:
    """What is entered, until there is no more."""
    for text in sys.stdin:
        for start in range(0, len(text), _PIECE):
            _send(line, {"type": "input", "data": text[start : start + _PIECE]})
    _send(line, {"type": "input", "data": "exit\n"})


def _send(line: ClientConnection, message: dict[str, Any]) -> None:
    from websockets.exceptions import ConnectionClosed

    try:
        line.send(json.dumps(message))
    except ConnectionClosed:
        return  # whoever listens says so

"""What Redis keeps of a packed execution: a few plain fields and the rest deflated, in pieces.

No value is longer than 64 bytes, so Redis keeps the hash in one block (`listpack`) instead of a
table, which would cost as much again.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

#: What the scripts read of a packed execution; state and end are written by `pack.lua`.
PLAIN: Final = ("tenant", "job_type", "sandbox_id", "task_id", "definition")
#: What they sort tasks by.
OF_TASKS: Final = ("name", "started_at")
NUMBERS: Final = (
    *("priority", "created_at", "state_changed_at", "started_at", "fence", "events", "entries"),
    *("lines", "exit_code", "schema"),
)
_PIECE: Final = 64  # bytes: Redis's hash-max-listpack-value
_MARK: Final = "1"  # first character of a row: names the dictionary. Rows of schema 2 begin with {
#: Part of the stored form: it never changes. What is likely stands at its end.
_DICTIONARY: Final = (
    b'"is_brief":1"priority":"error":"exit code ","the sandbox is gone""cancelled by request"'
    b'"name":""parent_id":"job_","session_id":""runbook_task""claude_task""cursor_task""prompt":"'
    b'"workspace_path":"/workspaces/"env":{"timeout":"hang_timeout":"cpus":"memory":"disk":"image":"'
    b'"artifact_patterns":["model":"sonnet-4.5","metadata":{"user_id":"user_"team":""priority":"'
    b'"project":""env":"production","value"key"request":{"job_type":"command_task","command":"'
    b'"python -c sh "},"schema":3,"exit_code":0,"lines":1,"entries":2,"events":9,"fence":1,"node":"'
    b'{"created_at":1795"state_changed_at":1795"started_at":1795'
)


def encode(kept: Mapping[str, Any]) -> dict[str, str]:
    """The fields of the hash that hold all of this; numbers in it may be texts."""
    plain = (*PLAIN, *OF_TASKS) if kept.get("task_id") else PLAIN
    fields = {name: str(kept[name]) for name in plain if kept.get(name)}
    rest = {name: value for name, value in kept.items() if name not in fields}
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=_DICTIONARY)
    packed = packer.compress(_json(rest).encode()) + packer.flush()
    text = _MARK + base64.b85encode(packed).decode()
    for n, start in enumerate(range(0, len(text), _PIECE)):
        fields["row" if n == 0 else f"r{n}"] = text[start : start + _PIECE]
    return fields


def short(name: str, text: str) -> str | int:
    """Numbers need no quotes."""
    return int(text) if name in NUMBERS else text


def decode(fields: Mapping[str, str]) -> dict[str, Any]:
    """All fields that a packed execution's hash holds."""
    first = fields["row"]
    if first.startswith("{"):  # schema 2
        return {**json.loads(first), **fields}
    pieces, n = [first[1:]], 1
    while (piece := fields.get(f"r{n}")) is not None:
        pieces.append(piece)
        n += 1
    packed = base64.b85decode("".join(pieces))
    rest = json.loads(zlib.decompressobj(-15, zdict=_DICTIONARY).decompress(packed))
    rest.setdefault("metadata", rest["request"].get("metadata", {}))  # mostly the same
    return {**rest, **fields}


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))

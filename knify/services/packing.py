"""From Redis to the object store: output that grows too long, and executions that have ended.

The object comes first, then one script that notes it and takes the same out of Redis. Whoever dies
between the two leaves an object that the next attempt writes again, to the byte.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from knify import briefs, errors
from knify.core import Core
from knify.services import artifacts, history
from knify.store import retention, rows, terms
from knify.store.streams import Segment

SEGMENT_BYTES: Final = 2 * 1024**2  # of stored entries in one object
#: What a row keeps of the record: all that lists, filters and answers of scripts need.
_KEPT: Final = (
    *("tenant", "name", "job_type", "parent_id", "sandbox_id", "node", "session_id", "usage"),
    *("task_id", "child_of", "opened_by", "definition", "retry_of", "run"),
    *rows.NUMBERS,
)


def spill(core: Core, execution_id: str, fence: int, size: int) -> int:
    """Move the oldest `size` bytes of an output into an object.

    Returns how many bytes left Redis; 0 when there are not as many. Raises LeaseLost,
    ObjectStoreError.
    """
    part = core.store.retention.part(execution_id, size)
    if part is None or part.size < size:
        return 0
    _store(core, execution_id, part)
    core.store.retention.cut(execution_id, fence, part)
    return part.size


def pack(core: Core, execution_id: str) -> bool:
    """Make a row and objects of a terminal execution; False when there was nothing to do.

    ObjectStoreError, and nothing is changed. Safe to repeat and to race with itself.
    """
    raw = core.store.retention.raw(execution_id)
    if raw is None:
        return False
    segments = _rest(core, execution_id, raw)
    if not _complete(raw, segments):
        if core.store.retention.raw(execution_id) is None:
            return False  # another process packed it meanwhile
        raise errors.Conflict(f"{execution_id} changed while it was packed")
    stored = {
        "fields": raw.fields,
        "events": raw.events,
        "segments": [segment.noted for segment in segments],
        "metrics": raw.metrics,
    }
    data = history.compress(json.dumps(stored, separators=(",", ":"), sort_keys=True).encode())
    core.objects.put(history.record_key(execution_id), [data])
    core.objects.delete(artifacts.baseline_key(execution_id))
    return core.store.retention.pack(execution_id, raw, row(raw.fields)) == "ok"


def row(fields: Mapping[str, str]) -> str:
    """What Redis keeps of a packed execution, as JSON of a hash's fields: mostly 400 bytes."""
    kept: dict[str, Any] = {n: rows.short(n, fields[n]) for n in _KEPT if n in fields}
    request, cut = briefs.request(json.loads(fields["request"]))
    whole = json.loads(fields.get("metadata", "{}"))
    metadata, fewer = briefs.metadata(whole)
    error, shorter = briefs.error(fields.get("error"))
    kept["request"] = request
    if metadata != request.get("metadata", {}):
        kept["metadata"] = metadata
    if error is not None:
        kept["error"] = error
    if fewer:
        kept["words"] = terms.of_metadata(whole)
    if cut or fewer or shorter:
        kept["is_brief"] = 1
    return json.dumps(rows.encode(kept), separators=(",", ":"))


def _rest(core: Core, execution_id: str, raw: retention.Raw) -> list[Segment]:
    """Store what the stream still holds; all segments after that."""
    segments = list(raw.segments)
    after = segments[-1].last if segments else 0
    entries = int(raw.fields.get("entries", "0"))
    while after < entries:
        part = core.store.retention.part(execution_id, SEGMENT_BYTES, after=after)
        if part is None:
            break
        _store(core, execution_id, part)
        segments.append(part.segment)
        after = part.segment.last
    return segments


def _complete(raw: retention.Raw, segments: list[Segment]) -> bool:
    """Whether all was read: another process may have packed it, and emptied it, meanwhile."""
    behind = 0
    for segment in segments:
        if segment.first != behind + 1:
            return False
        behind = segment.last
    numbers = [n for n, _ in raw.events]
    return behind == int(raw.fields.get("entries", "0")) and numbers == list(
        range(1, int(raw.fields.get("events", "0")) + 1)
    )


def _store(core: Core, execution_id: str, part: retention.Part) -> None:
    data = history.compress("\n".join(part.texts).encode())
    try:
        core.objects.put(history.segment_key(execution_id, part.segment), [data])
    except OSError as failed:
        raise errors.ObjectStoreError(f"output could not be stored: {failed}") from failed

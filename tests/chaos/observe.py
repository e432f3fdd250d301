"""An execution as its readers see it, wherever its parts lie by now."""

from __future__ import annotations

from knify.core import Core
from knify.services import history
from tests.chaos.history import Entry, Event, Seen


def read(core: Core, execution_id: str) -> Seen:
    """Record, history and output; `missing` when there is no record. ObjectStoreError."""
    x = core.store.executions.find(execution_id)
    if x is None:
        return Seen(execution_id, "", "missing")
    x = history.whole(core, x)
    events = list(history.events(core, execution_id))
    return Seen(
        id=x.id,
        key=str(x.metadata.get("key", "")),
        state=x.state.value,
        error=x.error,
        events=tuple(Event(e.n, e.stage, e.state) for e in events),
        entries=tuple(
            Entry(e.seq, e.n, e.stream, e.line, tuple(one["type"] for one in e.events))
            for e in history.output(core, execution_id)
        ),
        truncated=any(e.stage == "output_truncated" for e in events),
        span=(x.created_at, x.completed_at or 0),
    )

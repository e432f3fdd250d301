"""An execution as the store shows it."""

from __future__ import annotations

from knify.store import open as store_open
from tests.chaos.history import Entry, Event, Seen


def read(store: store_open.Store, execution_id: str) -> Seen:
    """Record, history and output; `missing` when there is no record."""
    x = store.executions.find(execution_id)
    if x is None:
        return Seen(execution_id, "", "missing")
    events = list(store.streams.events(execution_id))
    return Seen(
        id=x.id,
        key=str(x.metadata.get("key", "")),
        state=x.state.value,
        error=x.error,
        events=tuple(Event(e.n, e.stage, e.state) for e in events),
        entries=tuple(
            Entry(e.seq, e.n, e.stream, e.line, tuple(one["type"] for one in e.events))
            for e in store.streams.output(execution_id)
        ),
        truncated=any(e.stage == "output_truncated" for e in events),
        span=(x.created_at, x.completed_at or 0),
    )

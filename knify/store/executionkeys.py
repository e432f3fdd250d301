"""Names of the keys beside an execution's record; `keys.py` says what each holds."""

from __future__ import annotations

from knify.store.keys import PREFIX


def events(execution_id: str) -> str:
    """The stream of its history."""
    return f"{PREFIX}x:{execution_id}:events"


def output(execution_id: str) -> str:
    """The stream of its output."""
    return f"{PREFIX}x:{execution_id}:output"


def open_children(execution_id: str) -> str:
    """Children of a task that have not ended."""
    return f"{PREFIX}x:{execution_id}:open"


def working_children(execution_id: str) -> str:
    """Those of them that were claimed, where their number is limited."""
    return f"{PREFIX}x:{execution_id}:work"


def usage(execution_id: str) -> str:
    """What it took of models."""
    return f"{PREFIX}usage:{execution_id}"


def told(execution_id: str) -> str:
    """What gateways told of it."""
    return f"{PREFIX}told:{execution_id}"


def segments(execution_id: str) -> str:
    """The parts of its output that objects hold."""
    return f"{PREFIX}x:{execution_id}:segments"


def metrics(execution_id: str) -> str:
    """What it took of CPU and memory."""
    return f"{PREFIX}x:{execution_id}:metrics"

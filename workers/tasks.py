"""The tasks: each takes an id, calls one function, returns nothing, and is over in seconds."""

from __future__ import annotations

from knify import hints, sweep
from workers import node
from workers.app import app


@app.task(name=hints.ADVANCE)
def advance(execution_id: str) -> None:
    """Take an execution's next steps, if it is free."""
    node.current().runner.advance(execution_id)


@app.task(name=hints.REMOVE)
def remove(sandbox_id: str) -> None:
    """Remove a deleted sandbox's container and volumes."""
    node.current().remove(sandbox_id)


@app.task(name=hints.SWEEP)
def sweep_all() -> None:
    """Hint what is due."""
    sweep.sweep(node.current().core)

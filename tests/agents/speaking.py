"""Plans and output of agents that print JSON, for tests without the programs themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from knify import errors, model
from knify.agents import base, registry

TRANSCRIPTS = Path(__file__).parent / "transcripts"
ENDED = model.Outcome("exited", 0)


def no_workspace(path: str) -> bytes:
    raise errors.NotFound


def plan(kind: str, prompt: str = "Go", session: str | None = None, **spec: Any) -> base.Plan:
    wanted = model.ExecutionSpec(kind, prompt=prompt, **spec)
    return new(kind).prepare(wanted, no_workspace, session)


def new(kind: str, **told: Any) -> base.Adapter:
    return registry.adapter(kind, "nonce", model.Said(**told))


def fed(adapter: base.Adapter, *events: dict[str, Any] | str) -> list[base.Event]:
    lines = (event if isinstance(event, str) else json.dumps(event) for event in events)
    return [told for line in lines for told in adapter.feed("stdout", line)]


def recorded(name: str) -> list[str]:
    """What a real one printed: a message, a file, a command that exits with 3, a message."""
    return (TRANSCRIPTS / f"{name}.ndjson").read_text().splitlines()


def ended(adapter: base.Adapter, outcome: model.Outcome = ENDED) -> tuple[model.Outcome, list[Any]]:
    judged = adapter.judge(outcome)
    return judged, adapter.end(judged)

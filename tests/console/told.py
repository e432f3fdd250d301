"""What agents and commands tell, written as a worker would write it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from knify import clock, model
from knify.core import Core
from knify.lifecycle import State
from knify.services import artifacts
from knify.services.jobs import final_entry
from knify.store.streams import entry_json
from tests.api.parts import Worker


def events(core: Core, x: model.Execution, *told: Mapping[str, Any]) -> model.Execution:
    """Each with a line of the agent's own."""
    entries = []
    for n, event in enumerate(told, x.lines + 1):
        ts = clock.now_ms()
        stamped = dict(event) | {"timestamp": clock.rfc3339(ts)}
        entry = entry_json(ts, [stamped], n=n, stream="stdout", line=json.dumps(event))
        entries.append(json.dumps(entry))
    return core.store.executions.append(
        x, entries, lines=x.lines + len(told), out=x.out_bytes + 100 * len(told), err=0
    )


def lines(
    core: Core, x: model.Execution, texts: Sequence[str], stream: str = "stdout"
) -> model.Execution:
    """Lines of a command, each a progress of its own."""
    entries = []
    for n, text in enumerate(texts, x.lines + 1):
        ts = clock.now_ms()
        event = {"type": "progress", "message": text, "stream": stream}
        stamped = event | {"timestamp": clock.rfc3339(ts)}
        entries.append(json.dumps(entry_json(ts, [stamped], n=n, stream=stream, line=text)))
    size = sum(len(text) + 1 for text in texts)
    return core.store.executions.append(
        x, entries, lines=x.lines + len(texts), out=x.out_bytes + size, err=0
    )


def end(
    core: Core, x: model.Execution, files: Mapping[str, bytes] | None = None, **told: Any
) -> model.Execution:
    """It completed, with these files."""
    found = []
    for n, (path, content) in enumerate(sorted((files or {}).items())):
        key = artifacts.content_key(x.id, n)
        core.objects.put(key, [content])
        sha256 = hashlib.sha256(content).hexdigest()
        kind = "application/octet-stream"
        found.append(model.Artifact(path, len(content), sha256, kind, clock.now_ms(), key))
    artifacts.save_manifest(core.objects, x.id, found)
    x = core.store.executions.move(x, State.COMPLETING).execution
    entry = final_entry("completed", clock.now_ms())
    return core.store.executions.move(
        x, State.COMPLETED, entries=[entry], sandbox={"state": "paused"}, exit_code=0, **told
    ).execution


def running(core: Core, job_id: str) -> model.Execution:
    """The job, whose command has begun."""
    return Worker(core).run(job_id)

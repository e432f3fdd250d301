"""Clients of the API, and a worker that only writes what a real one would."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from typing import Any

import flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from knify import clock, model
from knify.core import Core
from knify.lifecycle import State
from knify.services import artifacts
from knify.services.jobs import final_entry
from knify.store.executions import NOW
from knify.store.streams import entry_json

COMMAND = {"job_type": "command_task", "command": "echo hello"}
MANIFEST = {
    "version": "1", "kind": "Task", "metadata": {"name": "Hello"},
    "agent": {"type": "command", "command": "echo hello"},
}  # fmt: skip
CURSOR = {"job_type": "cursor_task", "prompt": "Tidy up"}


def rules(app: flask.Flask) -> list[Rule]:
    """The API's own: the console's pages are for people with browsers."""
    return [rule for rule in app.url_map.iter_rules() if not rule.endpoint.startswith("console.")]


class Api:
    """Requests with a key."""

    def __init__(self, client: FlaskClient, key: str) -> None:
        self.client = client
        self.key = key

    def request(self, method: str, path: str, **more: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.key}"} | more.pop("headers", {})
        return self.client.open(path, method=method, headers=headers, **more)

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.request("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> TestResponse:
        if body is not None:
            more["json"] = body
        return self.request("POST", path, **more)

    def submit(self, **spec: Any) -> str:
        answer = self.post("/jobs", {"spec": COMMAND | spec})
        assert answer.status_code == 200, answer.text
        return str(answer.get_json()["job_id"])

    def upload(
        self, content: bytes, filename: str = "ws.tar.gz", name: str | None = None
    ) -> TestResponse:
        form: dict[str, Any] = {"workspace": (io.BytesIO(content), filename)}
        if name is not None:
            form["name"] = name
        return self.post("/workspaces", data=form, content_type="multipart/form-data")


class Worker:
    """Drives executions through the store, as the real one does."""

    def __init__(self, core: Core) -> None:
        self.core = core

    def claim(self, job_id: str) -> model.Execution:
        claim = self.core.store.executions.claim(
            job_id, owner="host/boot/1/1", node="n1", lease_ms=60_000, slots=100
        )
        assert claim.execution is not None, claim
        return claim.execution

    def run(self, job_id: str) -> model.Execution:
        """Up to running."""
        x = self.claim(job_id)
        for state in (State.STAGING, State.PROVISIONING, State.READY):
            x = self.core.store.executions.move(x, state).execution
            if state is State.PROVISIONING:
                made = {"state": "active", "node": "n1", "container": "c1"}
                x = self.core.store.executions.note(x, "sandbox_created", "made", sandbox=made)
        return self.core.store.executions.move(x, State.RUNNING, started_at=NOW).execution

    def lines(self, x: model.Execution, *texts: str, events: int = 1) -> model.Execution:
        """Raw lines, each with some neutral events."""
        entries = []
        for i, text in enumerate(texts):
            ts = clock.now_ms()
            found = [
                {"type": "agent_message", "message": f"{text}/{k}", "timestamp": clock.rfc3339(ts)}
                for k in range(events)
            ]
            n = x.lines + i + 1
            entries.append(json.dumps(entry_json(ts, found, n=n, stream="stdout", line=text)))
        size = x.out_bytes + sum(len(t) + 1 for t in texts)
        return self.core.store.executions.append(
            x, entries, lines=x.lines + len(texts), out=size, err=0
        )

    def finish(self, x: model.Execution, to: State = State.COMPLETED) -> model.Execution:
        if to is State.COMPLETED:
            x = self.core.store.executions.move(x, State.COMPLETING).execution
        sandbox = {"state": "paused"}
        entry = final_entry(to.value, clock.now_ms())
        return self.core.store.executions.move(
            x, to, entries=[entry], sandbox=sandbox, exit_code=0
        ).execution

    def keep(self, job_id: str, files: dict[str, bytes]) -> None:
        """Artifacts in the object store."""
        found = []
        for path, content in sorted(files.items()):
            sha256 = hashlib.sha256(content).hexdigest()
            key = artifacts.content_key(job_id, sha256)
            self.core.objects.put(key, [content])
            kind = "application/json" if path.endswith(".json") else "text/plain"
            found.append(model.Artifact(path, len(content), sha256, kind, clock.now_ms(), key))
        artifacts.save_manifest(self.core.objects, job_id, found)


def archive(files: dict[str, bytes], *, extra: Sequence[tarfile.TarInfo] = ()) -> bytes:
    """A .tar.gz."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in extra:
            tar.addfile(info)
    return out.getvalue()


def frames(text: str) -> list[tuple[str, Any]]:
    """(id, data) of each server-sent event; comments are left out."""
    found = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            assert len(lines) == 2, block
            assert lines[0].startswith("id: ") and lines[1].startswith("data: "), block
            found.append((lines[0][4:], json.loads(lines[1][6:])))
    return found

"""The blocking client: `Client().create_job({...})`. Safe to share between threads."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from knify.client import access, answers, calls, errors, files, retry, wire


class Client:
    """All that a server offers; every method may raise ApiError and ConnectionFailed."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 30.0,
        policy: retry.Policy | None = None,
    ) -> None:
        """`timeout` is in seconds, for each answer; streams and uploads have their own.

        Without `url` and `api_key`: `KNIFY_URL` and `KNIFY_API_KEY`, else this machine's server
        and its admin key.
        """
        self.access = access.resolve(url, api_key)
        self._wire = wire.Wire(self.access, timeout, policy or retry.Policy())

    def close(self) -> None:
        """Give the connections back."""
        self._wire.close()

    def __enter__(self) -> Self:
        """Use it with `with`."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the connections back."""
        self.close()

    # Jobs.

    def create_job(
        self, spec: Mapping[str, Any], name: str | None = None, idempotency_key: str | None = None
    ) -> answers.Submitted:
        """Submit a job. Without a key of your own, one is made for this call's retries."""
        return answers.submitted(self._wire.send(calls.create_job(spec, name, idempotency_key)))

    def continue_job(
        self,
        job_id: str,
        spec: Mapping[str, Any],
        name: str | None = None,
        idempotency_key: str | None = None,
    ) -> answers.Submitted:
        """Submit a job into the sandbox of another."""
        call = calls.continue_job(job_id, spec, name, idempotency_key)
        return answers.submitted(self._wire.send(call))

    def job(self, job_id: str) -> answers.Job:
        """A job as it is now."""
        return answers.job(self._wire.send(calls.job(job_id)))

    def jobs(
        self,
        *,
        status: str | None = None,
        job_type: str | None = None,
        created_after: str | None = None,
        created_before: str | None = None,
        metadata: Mapping[str, str] | None = None,
        page: int | None = None,
        limit: int | None = None,
    ) -> list[answers.Job]:
        """Jobs, newest first: 100 at most, or one page of `limit`. Times are RFC 3339."""
        call = calls.jobs(
            status=status,
            job_type=job_type,
            created_after=created_after,
            created_before=created_before,
            metadata=metadata,
            page=page,
            limit=limit,
        )
        return answers.jobs(self._wire.send(call))

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Stop a job; harmless when it has ended."""
        return answers.body_of(self._wire.send(calls.cancel(job_id))) or {}

    def cleanup(self, job_id: str, *, force: bool = False) -> dict[str, Any]:
        """Delete the job's sandbox for good; `force` cancels what still runs or waits in it."""
        return answers.body_of(self._wire.send(calls.cleanup(job_id, force=force))) or {}

    def wait(self, job_id: str, timeout: float | None = None) -> answers.Job:
        """The job once it has ended. Raises WaitTimeout after `timeout` seconds."""
        started = time.monotonic()
        while not (job := self.job(job_id)).ended:
            elapsed = time.monotonic() - started
            if timeout is not None and elapsed >= timeout:
                raise errors.WaitTimeout(f"{job_id} is {job.status} after {timeout:g} s")
            left = float("inf") if timeout is None else timeout - elapsed
            # A short job is noticed at once, a long one costs few requests.
            time.sleep(min(left, max(0.1, min(5.0, elapsed / 10))))
        return job

    # What happens in a job.

    def events(self, job_id: str) -> list[dict[str, Any]]:
        """The job's steps so far: `ts`, `stage`, `level`, `detail`."""
        return answers.rows(self._wire.send(calls.job(job_id, "events")), "events")

    def stream_events(self, job_id: str, after: str | None = None) -> Iterator[answers.Frame]:
        """The steps as they happen, until the job has ended; goes on over broken connections."""
        return self._wire.follow(job_id, "events", after)

    def output(self, job_id: str, *, raw: bool = False) -> list[dict[str, Any]]:
        """The output so far in the neutral vocabulary, or `raw`: `n`, `stream`, `line`."""
        call = calls.job(job_id, "output", **({"raw": "1"} if raw else {}))
        return answers.rows(self._wire.send(call), "events")

    def stream_output(
        self, job_id: str, after: str | None = None, *, raw: bool = False
    ) -> Iterator[answers.Frame]:
        """The output as it comes, until its end; goes on over broken connections."""
        return self._wire.follow(job_id, "output", after, raw=raw)

    # What a job leaves.

    def artifacts(self, job_id: str) -> list[answers.Artifact]:
        """The job's files, with size and checksum."""
        paths = self.job(job_id).files
        return [
            answers.artifact(path, self._wire.send(calls.artifact(job_id, path, "HEAD")))
            for path in paths
        ]

    def download(self, job_id: str, path: str, folder: str | Path) -> files.Downloaded:
        """One file into `folder`. Raises ArtifactDamaged and UnsafePath; nothing is kept then."""
        file = files.target(Path(folder), path)
        return self._wire.download(calls.artifact(job_id, path), path, file)

    def download_all(self, job_id: str, folder: str | Path) -> list[files.Downloaded]:
        """All of the job's files into `folder`."""
        return [self.download(job_id, path, folder) for path in self.job(job_id).files]

    # Nodes; these need the scope `admin`.

    def nodes(self) -> list[dict[str, Any]]:
        """All nodes: state, jobs, idle sandboxes."""
        return answers.rows(self._wire.send(calls.nodes()), "nodes")

    def drain_node(self, name: str, *, on: bool = True) -> dict[str, Any]:
        """Let no new sandbox come to a node and archive its idle ones; `on=False` undoes it."""
        return answers.body_of(self._wire.send(calls.drain_node(name, on=on))) or {}

    def archive_sandbox(self, sandbox_id: str) -> None:
        """Move an idle sandbox to the object store soon; continuing it restores it anywhere."""
        self._wire.send(calls.archive_sandbox(sandbox_id))

    # Sandboxes.

    def sandboxes(
        self, *, orphans: bool = False, page: int | None = None, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Sandboxes, newest first. `orphans`: what Podman has and Redis does not know (admin)."""
        call = calls.sandboxes(orphans=orphans, page=page, limit=limit)
        return answers.rows(self._wire.send(call))

    def sandbox(self, sandbox_id: str) -> dict[str, Any]:
        """A sandbox, and the jobs that run or wait in it."""
        return answers.body_of(self._wire.send(calls.sandbox(sandbox_id))) or {}

    # Workspaces.

    def upload_workspace(
        self, path: str | Path, name: str | None = None, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Upload a folder, packed on the way and without `.git`, or an archive as it is."""
        return answers.body_of(self._wire.upload(Path(path), name, idempotency_key)) or {}

    def list_workspaces(self) -> list[dict[str, Any]]:
        """All workspaces."""
        return answers.rows(self._wire.send(calls.workspaces()), "workspaces")

    # Keys; these need the scope `admin`.

    def create_key(
        self,
        name: str | None = None,
        scopes: Sequence[str] = (),
        tier: str | None = None,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """A new API key; its text is in this answer only."""
        call = calls.create_key(name, scopes, tier, idempotency_key)
        return answers.body_of(self._wire.send(call)) or {}

    def list_keys(self) -> list[dict[str, Any]]:
        """All keys, without their text."""
        return answers.rows(self._wire.send(calls.keys()), "keys")

    def revoke_key(self, key_id: str) -> None:
        """The key opens nothing from now on."""
        self._wire.send(calls.revoke_key(key_id))

"""The asynchronous client: `await AsyncClient().create_job({...})`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import anyio
import anyio.to_thread
import httpx

from knify.client import (
    access,
    answers,
    asyncears,
    calls,
    downloads,
    http,
    listing,
    pipelines,
    retry,
    steps,
    stream,
    upload,
    waiting,
)

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


def _ends(
    steps_of: Callable[P, steps.Steps[R]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]]:
    """A procedure as a method that gives its end."""

    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self.run(steps_of(*args, **kwargs))

    return http.dressed(method, steps_of)


def _gives(
    values_of: Callable[P, steps.Values[T]],
) -> Callable[Concatenate[AsyncClient, P], AsyncIterator[T]]:
    """A procedure as a method whose values one iterates over."""

    def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return self.each(steps.Play(values_of(*args, **kwargs)))

    return http.dressed(method, values_of)


def _asks(
    call_of: Callable[P, calls.base.Call[T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """A request as a method that gives its answer."""

    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.run(steps.ask(call_of(*args, **kwargs)))

    return http.dressed(method, call_of)


class AsyncClient:
    """The same as `Client`, with `await`; what that one iterates over is for `async for` here."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 30.0,
        policy: retry.Policy | None = None,
    ) -> None:
        """As `Client`."""
        self.access = access.resolve(url, api_key)
        self.setup = steps.Setup(self.access, policy or retry.Policy())
        self._http = httpx.AsyncClient(**http.options(self.access, timeout))

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        """Use it with `async with`."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the connections back."""
        await self.aclose()

    # Jobs.
    create_job = _asks(calls.jobs.create_job)
    continue_job = _asks(calls.jobs.continue_job)
    job = _asks(calls.jobs.job)
    jobs = _asks(calls.jobs.jobs)
    iter_jobs = _gives(listing.iter_jobs)
    wait = _ends(waiting.wait)
    cancel = _asks(calls.jobs.cancel)
    cleanup = _asks(calls.jobs.cleanup)
    delete_job = _asks(calls.jobs.delete_job)
    pipeline = _ends(pipelines.pipeline)

    # What happens in a job.
    events = _asks(calls.output.events)
    stream_events = _gives(stream.stream_events)
    output = _asks(calls.output.output)
    lines = _asks(calls.output.lines)
    stream_output = _gives(stream.stream_output)

    # What a job leaves.
    artifacts = _asks(calls.output.artifacts)
    artifact_contents = _asks(calls.output.artifact_contents)
    download = _ends(downloads.download)
    download_all = _ends(downloads.download_all)
    download_archive = _ends(downloads.download_archive)

    # Tasks.
    submit_task = _asks(calls.tasks.submit_task)
    task = _asks(calls.tasks.task)
    tasks = _asks(calls.tasks.tasks)
    wait_task = _ends(waiting.wait_task)
    cancel_task = _asks(calls.tasks.cancel_task)
    task_events = _asks(calls.tasks.task_events)
    stream_task_events = _gives(stream.stream_task_events)
    task_logs = _asks(calls.tasks.task_logs)
    stream_task_logs = _gives(stream.stream_task_logs)
    task_artifacts = _asks(calls.tasks.task_artifacts)
    download_task = _ends(downloads.download_task)
    open_task_shell = _asks(calls.tasks.open_task_shell)

    # Workspaces.
    upload_workspace = _ends(upload.upload_workspace)
    list_workspaces = _asks(calls.workspaces.list_workspaces)
    workspace = _asks(calls.workspaces.workspace)
    download_workspace = _ends(downloads.download_workspace)
    delete_workspace = _asks(calls.workspaces.delete_workspace)

    # Secrets.
    set_secret = _asks(calls.secrets.set_secret)
    list_secrets = _asks(calls.secrets.list_secrets)
    secret = _asks(calls.secrets.secret)
    delete_secret = _asks(calls.secrets.delete_secret)

    # Jobs of projects.
    projects = _asks(calls.projects.projects)
    project_jobs = _asks(calls.projects.project_jobs)
    project_job = _asks(calls.projects.project_job)
    create_project_job = _asks(calls.projects.create_project_job)
    change_project_job = _asks(calls.projects.change_project_job)
    delete_project_job = _asks(calls.projects.delete_project_job)
    project_job_status = _asks(calls.projects.project_job_status)
    trigger_run = _asks(calls.projects.trigger_run)
    runs = _asks(calls.projects.runs)
    run_of = _asks(calls.projects.run_of)
    cancel_run = _asks(calls.projects.cancel_run)
    run_logs = _asks(calls.projects.run_logs)
    run_metrics = _asks(calls.projects.run_metrics)

    # Webhooks.
    create_webhook = _asks(calls.webhooks.create_webhook)
    list_webhooks = _asks(calls.webhooks.list_webhooks)
    webhook = _asks(calls.webhooks.webhook)
    change_webhook = _asks(calls.webhooks.change_webhook)
    delete_webhook = _asks(calls.webhooks.delete_webhook)
    test_webhook = _asks(calls.webhooks.test_webhook)
    deliveries = _asks(calls.webhooks.deliveries)
    redeliver = _asks(calls.webhooks.redeliver)

    # Who may come in.
    create_key = _asks(calls.access.create_key)
    list_keys = _asks(calls.access.list_keys)
    key = _asks(calls.access.key)
    rotate_key = _asks(calls.access.rotate_key)
    revoke_key = _asks(calls.access.revoke_key)
    create_stream_token = _asks(calls.access.create_stream_token)

    # Where jobs run.
    nodes = _asks(calls.hosts.nodes)
    drain_node = _asks(calls.hosts.drain_node)
    cordon_node = _asks(calls.hosts.cordon_node)
    forget_node = _asks(calls.hosts.forget_node)
    sandboxes = _asks(calls.hosts.sandboxes)
    sandbox = _asks(calls.hosts.sandbox)
    archive_sandbox = _asks(calls.hosts.archive_sandbox)
    extend_sandbox = _asks(calls.hosts.extend_sandbox)
    change_network = _asks(calls.hosts.change_network)
    health = _asks(calls.hosts.health)
    ready = _asks(calls.hosts.ready)

    # How procedures are served.

    async def run(self, procedure: steps.Steps[R]) -> R:
        """Play a procedure to its end."""
        play: steps.Play[Any, R] = steps.Play(procedure)
        async for _ in self.each(play):
            pass
        return play.result

    async def each(self, play: steps.Play[T, Any]) -> AsyncIterator[T]:
        """Play a procedure; its values as they come."""
        async with asyncears.Ear(self._http) as ear:
            while (wanted := play.next()) is not None:
                if isinstance(wanted, steps.Item):
                    yield wanted.value
                    continue
                try:
                    play.answer = await self._serve(wanted, ear)
                except Exception as failed:
                    play.failure = failed

    async def _serve(self, wanted: steps.Effect, ear: asyncears.Ear) -> Any:
        match wanted:
            case steps.Ask():
                return await self._ask(wanted)
            case steps.Fetch():
                return await self._fetch(wanted)
            case steps.Listen():
                return await ear.listen(wanted)
            case steps.Hear():
                return await ear.hear()
            case steps.Sleep():
                return await anyio.sleep(wanted.seconds)
            case steps.Know():
                return self.setup

    async def _ask(self, wanted: steps.Ask[Any]) -> httpx.Response:
        content = _aside(wanted.body()) if wanted.body else None
        request = http.request(self._http, wanted.call, content=content, timeout=wanted.timeout)
        return answers.accepted(await self._http.send(request), wanted.call.answers)

    async def _fetch(self, wanted: steps.Fetch[R]) -> R:
        response = await self._http.send(http.request(self._http, wanted.call), stream=True)
        async with contextlib.aclosing(response):
            if not response.is_success:
                await response.aread()
            sink = wanted.sink(answers.accepted(response))
            try:
                async for chunk in response.aiter_bytes(http.CHUNK):
                    await anyio.to_thread.run_sync(sink.write, chunk)
                return await anyio.to_thread.run_sync(sink.finish)
            finally:
                sink.drop()


async def _aside(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Chunks that are read and packed in a thread: the loop goes on meanwhile."""
    while (chunk := await anyio.to_thread.run_sync(next, chunks, None)) is not None:
        yield chunk

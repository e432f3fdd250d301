"""The spans of a job's steps and of its command, whoever takes them."""

from __future__ import annotations

from typing import Any

from knify import tracing
from knify.lifecycle import State
from tests.runner.rig import OUT, Rig, Worker, eventually


def submitted(rig: Rig, spans: Any, *argv: str) -> tuple[str, str]:
    """A job that came by a request; its id, and the trace's."""
    tracing.request("POST", "/jobs", None)
    job = rig.submit(*argv)
    tracing.answered(200)
    (span,) = spans.get_finished_spans()
    return job, f"{span.context.trace_id:032x}"


def told(spans: Any, job: str) -> list[Any]:
    """The spans of the job's work, once the last is there."""
    found = spans.get_finished_spans()
    return [span for span in found if span.attributes.get("knify.execution.id") == job]


def test_each_step_and_the_command_have_a_span_in_the_requests_trace(rig: Rig, spans: Any) -> None:
    rig.script("hello", steps=[(0, OUT, b"one\n")])
    job, trace = submitted(rig, spans, "hello")

    Worker(rig).advance(job)
    x = rig.ended(job)
    found = eventually(lambda: told(spans, job) if len(told(spans, job)) == 7 else None)

    assert [span.name for span in found] == [
        *("stage", "begin_provisioning", "provision", "launch", "command", "conclude", "complete"),
    ]
    assert {f"{span.context.trace_id:032x}" for span in found} == {trace}
    command = found[4]
    assert command.start_time == (x.started_at or 0) * 1_000_000
    assert command.attributes["process.exit.code"] == 0


def test_after_a_crash_the_next_worker_goes_on_in_the_same_trace(rig: Rig, spans: Any) -> None:
    rig.script("wait", steps=[(0, OUT, b"here\n")], hangs=True)
    job, trace = submitted(rig, spans, "wait")
    first = Worker(rig)
    first.advance(job)
    eventually(lambda: rig.lines(job))
    first.vanish()
    rig.host.containers.clear()

    Worker(rig).advance(job)
    x = rig.ended(job)

    found = told(spans, job)
    assert {f"{span.context.trace_id:032x}" for span in found} == {trace}
    (command,) = [span for span in found if span.name == "command"]
    assert command.start_time == (x.started_at or 0) * 1_000_000
    assert command.attributes["error.type"] == "host_lost"
    assert "take_over" in [span.name for span in found]


def test_a_job_that_no_request_brought_has_a_trace_of_its_own(rig: Rig, spans: Any) -> None:
    rig.script("hello")

    job = rig.submit("hello")
    Worker(rig).advance(job)

    assert rig.ended(job).state is State.COMPLETED
    root = spans.get_finished_spans()[0]
    assert (root.name, root.parent) == ("accept", None)
    assert {span.context.trace_id for span in told(spans, job)} == {root.context.trace_id}

"""One trace from a request to its command, as a collector gets it from all processes."""

from __future__ import annotations

import httpx
import pytest

from tests.parts import stack as stack_part
from tests.parts import traces

pytestmark = [pytest.mark.stack, pytest.mark.podman, pytest.mark.slow]
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_a_jobs_spans_have_one_trace_from_the_clients_to_the_command() -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra otel")
    with traces.collecting() as collector:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
        with stack_part.running(**settings, OTEL_BSP_SCHEDULE_DELAY="500") as stack:
            job = _submitted(stack, "echo s3cret; exit 3")
            with stack.client() as client:
                client.wait(job, timeout=60)
            stack_part.eventually(lambda: "command" in _names(collector))
            stack.stop()  # what is left is sent at the end

    ours = [(who, span) for who, span in collector.spans if span.trace_id.hex() == TRACE]
    ours.sort(key=lambda one: one[0])  # the API's first: processes send when they like
    names = [(who, span.name) for who, span in ours]
    assert names[0][0] == "knify-api" and names[0][1].startswith("POST ")
    assert sorted(names[1:]) == [
        ("knify-worker", name)
        for name in (
            *("begin_provisioning", "command", "complete", "conclude"),
            *("launch", "provision", "stage"),
        )
    ]
    request = ours[0][1]
    assert request.parent_span_id.hex() == PARENT
    assert {span.parent_span_id for _, span in ours[1:]} == {request.span_id}
    (command,) = [span for _, span in ours if span.name == "command"]
    told = {one.key: one.value for one in command.attributes}
    assert told["knify.execution.id"].string_value == job
    assert told["process.exit.code"].int_value == 3
    assert command.end_time_unix_nano > command.start_time_unix_nano
    assert b"s3cret" not in b"".join(span.SerializeToString() for _, span in collector.spans)


def test_a_collector_that_hangs_holds_up_neither_jobs_nor_the_end() -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra otel")
    with (
        traces.hanging() as endpoint,
        stack_part.running(
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_BSP_SCHEDULE_DELAY="100"
        ) as stack,
    ):
        job = _submitted(stack, "echo hello")

        with stack.client() as client:
            ended = client.wait(job, timeout=60)

        assert ended.status == "completed"
        assert stack.stop() == 0


def _submitted(stack: stack_part.Stack, command: str) -> str:
    key = (stack.home / "admin.key").read_text().strip()
    headers = {"Authorization": f"Bearer {key}", "traceparent": f"00-{TRACE}-{PARENT}-01"}
    body = {"spec": {"job_type": "command_task", "command": command}}
    answer = httpx.post(f"{stack.url}/jobs", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["job_id"])


def _names(collector: traces.Collector) -> set[str]:
    return {span.name for _, span in collector.spans}

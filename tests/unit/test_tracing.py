"""Traces: off by default, and never in the way."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import pytest

from knify import model, tracing
from knify.lifecycle import State

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def an_execution(traceparent: str | None = PARENT, **more: Any) -> model.Execution:
    spec = model.ExecutionSpec("command_task", command=("echo", "s3cret"))
    return model.Execution(
        "job_1", "default", State.RUNNING, spec, {}, 1_000, traceparent=traceparent, **more
    )


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_environment_decides_by_opentelemetrys_own_variables(
    environ: dict[str, str], wanted: bool
) -> None:
    assert tracing.is_wanted(environ) is wanted


def test_what_is_off_makes_no_trace_and_takes_no_time() -> None:
    with tracing.step("stage", an_execution()):
        tracing.request("GET", "/x", PARENT)
        tracing.answered(200)
        tracing.flush()

    assert tracing.traceparent() is None


def test_without_the_packages_the_log_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)

    with caplog.at_level(logging.WARNING):
        tracing.begin("api")

    assert "knify[otel]" in caplog.text
    assert tracing.traceparent() is None


def test_a_step_goes_on_in_the_trace_of_the_record_and_names_no_word_of_a_user(
    spans: Any,
) -> None:
    with tracing.step("stage", an_execution(sandbox_id="sandbox_1", fence=3)):
        pass

    (span,) = spans.get_finished_spans()
    assert f"{span.context.trace_id:032x}" == PARENT.split("-")[1]
    assert f"{span.parent.span_id:016x}" == PARENT.split("-")[2]
    assert dict(span.attributes) == {
        "knify.execution.id": "job_1", "knify.sandbox.id": "sandbox_1", "knify.fence": 3,
        "knify.tenant": "default", "knify.job_type": "command_task", "knify.attempts": 0,
        "knify.state": "running",
    }  # fmt: skip


def test_a_step_that_fails_says_its_class_and_not_its_message(spans: Any) -> None:
    with pytest.raises(ValueError), tracing.step("stage", an_execution()):
        raise ValueError("s3cret")

    assert "s3cret" not in spans.get_finished_spans()[0].to_json()
    assert spans.get_finished_spans()[0].attributes["error.type"] == "ValueError"


def test_what_was_accepted_without_a_trace_has_no_spans(spans: Any) -> None:
    with tracing.step("stage", an_execution(None)):
        tracing.command(an_execution(None, started_at=1), 2, model.Outcome("exited", 0))

    assert spans.get_finished_spans() == ()


def test_what_a_client_does_not_sample_is_not_told(spans: Any) -> None:
    tracing.request("POST", "/jobs", PARENT[:-2] + "00")
    told = tracing.traceparent()
    tracing.answered(200)
    with tracing.step("stage", an_execution(told)):
        pass

    assert told is not None and told.endswith("-00")
    assert spans.get_finished_spans() == ()


def test_a_command_lasts_from_its_start_to_its_end_by_the_records_clock(spans: Any) -> None:
    failed = model.Outcome("exited", 3, error="exit code 3: s3cret")

    tracing.command(an_execution(started_at=2_000), 5_500, failed)

    (span,) = spans.get_finished_spans()
    assert (span.name, span.start_time, span.end_time) == (
        *("command", 2_000_000_000, 5_500_000_000),
    )
    told = span.attributes
    assert (told["process.exit.code"], told["knify.outcome"]) == (3, "exited")
    assert told["error.type"] == "exited"
    assert "s3cret" not in span.to_json()


def test_a_collector_that_is_away_holds_nothing_up(
    spans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra otel")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "50")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    monkeypatch.setattr(tracing, "_LAST_SECONDS", 0.1)
    tracing.begin("worker")
    began = time.monotonic()

    for _ in range(500):  # more than the queue holds
        with tracing.step("stage", an_execution()):
            pass
    tracing.flush()

    assert time.monotonic() - began < 2

"""The span of a request, and what its job's record keeps of it."""

from __future__ import annotations

from typing import Any

import pytest

from knify.core import Core
from tests.api.parts import Api

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def test_a_request_is_named_by_its_route_and_tells_nothing_else_of_its_path(
    api: Api, spans: Any
) -> None:
    job = api.submit()
    spans.clear()

    api.get(f"/jobs/{job}?secret=s3cret")

    (span,) = spans.get_finished_spans()
    route = span.attributes["http.route"]
    assert span.name == f"GET {route}"
    assert route.endswith("/jobs/<job_id>")
    assert span.kind.name == "SERVER"
    assert set(span.attributes) == {
        *("http.request.method", "http.route", "http.response.status_code"),
    }
    assert "s3cret" not in span.to_json() and job not in span.to_json()


def test_a_jobs_record_keeps_the_trace_of_the_client_who_asked(
    api: Api, core: Core, spans: Any
) -> None:
    body = {"spec": {"job_type": "command_task", "command": "echo hello"}}

    job = api.post("/jobs", body, headers={"traceparent": PARENT}).get_json()["job_id"]

    (span,) = spans.get_finished_spans()
    kept = core.store.executions.get(job, tenant="default").traceparent
    assert kept == f"00-{TRACE}-{span.context.span_id:016x}-01"
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"
    assert TRACE not in api.get(f"/jobs/{job}").text


@pytest.mark.parametrize("sent", ["", "x" * 5_000, PARENT + "," + PARENT, PARENT.upper(), "00-0-0"])
def test_what_is_no_traceparent_begins_a_new_trace(api: Api, spans: Any, sent: str) -> None:
    answer = api.get("/jobs", headers={"traceparent": sent})

    (span,) = spans.get_finished_spans()
    assert answer.status_code == 200
    assert span.parent is None


def test_what_has_no_route_or_key_is_told_as_such(api: Api, spans: Any) -> None:
    api.get("/nowhere/s3cret")
    api.client.open("/jobs", method="BREW")
    api.client.get("/jobs")

    told = [(span.name, dict(span.attributes)) for span in spans.get_finished_spans()]
    assert [name.split(" ")[0] for name, _ in told] == ["GET", "HTTP", "GET"]
    assert [one["http.response.status_code"] for _, one in told] == [404, 405, 401]
    assert "s3cret" not in str(told)


def test_health_and_metrics_are_not_told(api: Api, spans: Any) -> None:
    api.get("/api/v1/health/ready")
    api.get("/metrics")

    assert spans.get_finished_spans() == ()


def test_without_traces_a_record_has_no_field_for_them(api: Api, core: Core) -> None:
    job = api.submit()

    assert core.store.executions.get(job, tenant="default").traceparent is None

"""Waiting: told by the stream, asked where there is none, and never for longer than wanted."""

from __future__ import annotations

import pytest

from knify.client import Client, WaitTimeout
from tests.client import scripted

STREAM = "/jobs/job_1/events/stream"
END = [{"stage": "created"}, {"stage": "failed", "state": "failed"}]


def test_an_ended_job_is_asked_for_once(server: scripted.Server, client: Client) -> None:
    server.on_job("job_1", "failed", exit_code=3)

    assert client.wait("job_1").exit_code == 3
    assert len(server.requests) == 1


def test_the_stream_says_when_a_job_has_ended(server: scripted.Server, client: Client) -> None:
    server.on_job("job_1", "running")
    server.on_job("job_1", "failed")
    server.on_stream(STREAM, END)

    assert client.wait("job_1", timeout=60).status == "failed"
    assert [r.path for r in server.requests] == ["/jobs/job_1", STREAM, "/jobs/job_1"]


def test_a_broken_stream_is_opened_again(server: scripted.Server, client: Client) -> None:
    server.on_job("job_1", "running")
    server.on_job("job_1", "completed")
    server.on_stream(STREAM, END, cuts=(60, 61))

    assert client.wait("job_1").status == "completed"


def test_without_streams_it_asks(server: scripted.Server, client: Client) -> None:
    server.on("GET", STREAM, b"<html>", Content_Type="text/html")
    server.on_job("job_1", "running")
    server.on_job("job_1", "running")
    server.on_job("job_1", "completed")

    assert client.wait("job_1").status == "completed"
    assert len(server.seen("GET", STREAM)) == 1


def test_waiting_stops_in_time_though_the_stream_is_silent(
    server: scripted.Server, client: Client
) -> None:
    server.on_job("job_1", "running")
    with scripted.silence(server, STREAM), pytest.raises(WaitTimeout, match="job_1 is running"):
        client.wait("job_1", timeout=0.3)


def test_waiting_stops_in_time_though_the_stream_is_busy(
    server: scripted.Server, client: Client
) -> None:
    server.on_job("job_1", "running")
    server.on_stream(STREAM, [{"stage": "x"}] * 3)

    with pytest.raises(WaitTimeout):
        client.wait("job_1", timeout=0.2)

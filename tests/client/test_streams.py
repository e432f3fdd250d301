"""Streams that break and go on."""

from __future__ import annotations

import pytest

from knify.client import ApiError, Client, ConnectionFailed, retry
from tests.client import both, scripted

STREAM = "/jobs/job_1/output/stream"
LINES = [{"n": n, "stream": "stdout", "line": f"line\u2028 {n}"} for n in range(1, 51)]
OUTPUT = [{"type": "progress", "message": "a"}, {"type": "completed", "status": "completed"}]


def test_a_stream_is_read_to_its_204(server: scripted.Server, client: Client) -> None:
    server.on_stream(STREAM, LINES)

    frames = list(client.stream_output("job_1", raw=True))

    assert [frame.data for frame in frames] == LINES
    assert [r.query for r in server.requests] == [{"raw": "1"}, {"raw": "1"}]


@pytest.mark.parametrize("cuts", [(0, 3, 200, 900, 1), (57, 58, 59, 60), tuple(range(30, 160, 7))])
def test_a_broken_stream_goes_on_without_gap_or_double(
    server: scripted.Server, client: Client, cuts: tuple[int, ...]
) -> None:
    server.on_stream(STREAM, LINES, cuts)

    assert [frame.data for frame in client.stream_output("job_1", raw=True)] == LINES


def test_the_terminal_frame_ends_the_output_without_another_request(
    server: scripted.Server, client: Client
) -> None:
    server.on_stream(STREAM, OUTPUT)

    assert [frame.data for frame in client.stream_output("job_1")] == OUTPUT
    assert len(server.requests) == 1


def test_the_last_step_ends_the_events_without_another_request(
    server: scripted.Server, client: Client
) -> None:
    server.on_stream("/jobs/job_1/events/stream", [{"stage": "failed", "state": "failed"}])

    assert len(list(client.stream_events("job_1"))) == 1
    assert len(server.requests) == 1


def test_a_stream_goes_on_behind_a_given_frame(server: scripted.Server, client: Client) -> None:
    server.on_stream("/jobs/job_1/events/stream", LINES)

    assert [frame.id for frame in client.stream_events("job_1", after="48")] == ["49", "50"]


def test_a_stream_without_any_entry_ends_with_its_job(
    server: scripted.Server, client: Client
) -> None:
    server.on_stream(STREAM, [])
    server.on_job("job_1", "running")
    server.on_job("job_1", "completed")

    assert list(client.stream_output("job_1", raw=True)) == []


def test_a_stream_outlives_a_restart_of_the_server(server: scripted.Server, client: Client) -> None:
    server.on("GET", STREAM, {}, 503, Retry_After="0")
    server.on("GET", STREAM, {}, 502)
    server.on_stream(STREAM, OUTPUT)

    assert len(list(client.stream_output("job_1"))) == 2


def test_a_refused_stream_is_an_error_at_once(server: scripted.Server, client: Client) -> None:
    with pytest.raises(ApiError):
        list(client.stream_output("job_1"))

    assert len(server.requests) == 1


def test_a_stream_that_never_comes_back_is_given_up(
    server: scripted.Server, connect: both.Connect
) -> None:
    server.on_stream(STREAM, LINES, cuts=(200,) + (0,) * 100)
    policy = retry.Policy(stream_attempts=4, stream_seconds=0, base=0.01)
    client = connect(server.url, policy=policy)
    frames = client.stream_output("job_1", raw=True)

    with pytest.raises(ConnectionFailed, match="after 4 attempts"):
        list(frames)


def test_what_is_no_stream_is_not_followed(server: scripted.Server, client: Client) -> None:
    server.on("GET", STREAM, b"<html>", Content_Type="text/html")

    with pytest.raises(ConnectionFailed, match="is not a stream"):
        list(client.stream_output("job_1"))


@pytest.mark.parametrize("cuts", [(), (0, 0)])
def test_only_a_stream_that_broke_is_a_pause_to_tell_of(
    server: scripted.Server, cuts: tuple[int, ...]
) -> None:
    server.on_stream(STREAM, [], cuts)
    server.on_job("job_1")
    heard: list[str] = []
    policy = retry.Policy(base=0.01, on_wait=lambda seconds, why: heard.append(why.message))

    with Client(server.url, "knify_test_a_b", policy=policy) as client:
        assert not client.setup.met
        assert list(client.stream_output("job_1", raw=True)) == []
        assert client.setup.met

    assert heard == ["the stream broke"] * len(cuts)

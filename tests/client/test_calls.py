"""Requests, retries and errors, against a scripted server."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import httpx
import pytest

from knify import errors
from knify.client import ApiError, Client, ConnectionFailed, access, retry, steps
from knify.client import errors as errors_of_client
from knify.client.calls import base, jobs
from tests.client import both, scripted

CREATED = {"job_id": "job_1", "status": "pending"}


def test_a_job_is_created_with_the_key_and_an_idempotency_key(
    server: scripted.Server, client: Client
) -> None:
    server.on("POST", "/jobs", CREATED)

    created = client.create_job({"job_type": "command_task", "command": "true"}, name="n")

    assert (created.job_id, created.status, created.replayed) == ("job_1", "pending", False)
    [request] = server.requests
    assert request.headers["authorization"] == "Bearer knify_test_a_b"
    assert request.json() == {"spec": {"job_type": "command_task", "command": "true"}, "name": "n"}
    assert request.headers["idempotency-key"]


def test_a_busy_server_is_asked_again_with_the_same_idempotency_key(
    server: scripted.Server, client: Client
) -> None:
    server.on("POST", "/jobs", {}, 503, Retry_After="0")
    server.on("POST", "/jobs", {}, 429, Retry_After="0")
    server.on("POST", "/jobs", CREATED, Idempotent_Replayed="true")

    created = client.create_job({"job_type": "command_task"})

    assert created.replayed
    assert len({r.headers["idempotency-key"] for r in server.requests}) == 1
    assert len(server.requests) == 3


def test_a_server_that_has_lost_its_data_is_asked_once(
    server: scripted.Server, client: Client
) -> None:
    server.on("GET", "/jobs", {"error": "start anew", "code": "STORE_EMPTY"}, 503, Retry_After="0")

    with pytest.raises(ApiError, match="start anew"):
        client.jobs()

    assert len(server.requests) == 1


def test_what_may_come_twice_is_sent_again(server: scripted.Server, client: Client) -> None:
    busy = {"error": "busy", "code": "X"}
    server.on("POST", "/jobs/job_1/cancel", busy, 503, Retry_After="0")
    server.on("POST", "/jobs/job_1/cancel", {"job_id": "job_1", "status": "cancelled"})

    assert client.cancel("job_1", "wrong branch").status == "cancelled"

    assert [r.json() for r in server.requests] == [{"reason": "wrong branch"}] * 2


def test_a_deletion_whose_answer_was_lost_is_done_when_nothing_is_found(
    server: scripted.Server, client: Client
) -> None:
    server.on("DELETE", "/jobs/job_1", {}, 502, Retry_After="0")
    server.on("DELETE", "/jobs/job_1", {"error": "no such thing"}, 404)

    client.delete_job("job_1")

    assert len(server.requests) == 2
    with pytest.raises(ApiError) as refused:
        client.delete_job("job_1")  # nothing was lost on this way
    assert refused.value.status == 404


def test_what_may_not_come_twice_is_sent_once_when_it_may_have_arrived() -> None:
    call = base.Call("POST", "/x", base.nothing)
    procedure = steps.ask(call)

    assert isinstance(next(procedure), steps.Know)
    setup = steps.Setup(access.Access("http://x"), retry.Policy())
    assert isinstance(procedure.send(setup), steps.Ask)
    with pytest.raises(ConnectionFailed, match="did not answer in time"):
        procedure.throw(httpx.ReadTimeout(""))


def test_a_server_that_never_answered_may_be_given_up_sooner() -> None:
    policy, waited = retry.Policy(attempts=3, first_attempts=1), []
    setup = steps.Setup(access.Access("http://x"), policy)

    def attempt() -> None:
        procedure = steps.ask(jobs.job("job_1"))
        next(procedure)
        procedure.send(setup)
        waited.append(procedure.throw(httpx.ConnectError("refused")))

    with pytest.raises(ConnectionFailed, match="check KNIFY_URL"):
        attempt()
    setup.met = True
    attempt()

    assert isinstance(waited[0], steps.Sleep)


def test_a_retry_waits_for_as_long_as_the_server_says() -> None:
    procedure = steps.ask(jobs.job("job_1"))
    next(procedure)
    heard: list[float] = []
    policy = retry.Policy(on_wait=lambda seconds, why: heard.append(seconds))
    procedure.send(steps.Setup(access.Access("http://x"), policy))
    busy = errors_of_client.RateLimited(429, "X", "slow down", retry_after="7")

    wanted = procedure.throw(busy)

    assert wanted == steps.Sleep(7.0)
    assert heard == [7.0]


def test_a_server_that_asks_for_too_long_a_wait_is_an_error_at_once(
    server: scripted.Server, client: Client
) -> None:
    server.on("GET", "/jobs", {"error": "slow down", "code": "RATE"}, 429, Retry_After="3000")

    with pytest.raises(ApiError) as caught:
        client.jobs()

    assert caught.value.retry_after == "3000"
    assert len(server.requests) == 1


def test_an_error_tells_all_that_the_server_said(server: scripted.Server, client: Client) -> None:
    with pytest.raises(ApiError) as caught:
        client.job("job_../x")

    error = caught.value
    assert (error.status, error.code, error.message) == (404, "NOT_FOUND", "No such resource.")
    assert error.request_id == "req-1"
    assert server.requests[0].path == "/jobs/job_..%2Fx"


def test_an_error_page_of_a_proxy_is_an_error_too(server: scripted.Server, client: Client) -> None:
    server.on("GET", "/jobs/job_1", b"<html>", 500)

    with pytest.raises(ApiError, match="HTTP 500"):
        client.job("job_1")


def test_an_answer_that_is_no_json_is_not_from_knify(
    server: scripted.Server, client: Client
) -> None:
    server.on("GET", "/jobs/job_1", b"<html>")

    with pytest.raises(ConnectionFailed, match="is no Knify server"):
        client.job("job_1")


def test_a_missing_server_says_how_to_start_it(connect: both.Connect) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    client = connect(url, policy=retry.Policy(attempts=2, base=0.01))

    with pytest.raises(ConnectionFailed, match="start it with `knify up`"):
        client.jobs()


def test_a_connection_that_breaks_is_made_again(server: scripted.Server, client: Client) -> None:
    whole = b'[{"id": "job_1", "status": "running"}]'
    server.on_call("GET", "/jobs", lambda _: scripted.Answer(whole, cut=5))
    server.on("GET", "/jobs", whole)

    assert [job.id for job in client.jobs()] == ["job_1"]


def test_lists_come_bare_or_as_pages(server: scripted.Server, client: Client) -> None:
    row = {"id": "job_1", "status": "running"}
    server.on("GET", "/jobs", [row])
    server.on("GET", "/jobs", {"data": [row], "pagination": {"page": 2}})

    bare = client.jobs(status="running", metadata={"team": "a"})
    page = client.jobs(page=2, limit=50)

    assert bare == page
    assert server.requests[0].query == {"status": "running", "metadata.team": "a"}
    assert server.requests[1].query == {"page": "2", "limit": "50"}


def test_keys_are_made_listed_and_revoked(server: scripted.Server, client: Client) -> None:
    server.on("POST", "/keys", {"id": "k", "key": "knify_live_k_s"})
    server.on("GET", "/keys", {"keys": [{"id": "k"}]})
    server.on("DELETE", "/keys/k", b"", 204)

    assert client.create_key("ci", ["read"]).key == "knify_live_k_s"
    assert [key.id for key in client.list_keys()] == ["k"]
    client.revoke_key("k")

    assert server.requests[0].json() == {"name": "ci", "scopes": ["read"]}


def test_without_arguments_the_local_server_and_its_admin_key_are_used(tmp_path: Path) -> None:
    (tmp_path / "admin.key").write_text("knify_live_a_b\n")

    found = access.resolve(environ={"KNIFY_HOME": str(tmp_path)})

    assert found == access.Access("http://127.0.0.1:8122", "knify_live_a_b", loopback=True)


def test_the_environment_names_server_and_key() -> None:
    known = {"KNIFY_URL": "https://knify.example/", "KNIFY_API_KEY": "knify_live_c_d"}

    assert access.resolve(environ=known) == access.Access("https://knify.example", "knify_live_c_d")


def test_the_admin_key_goes_to_no_other_server_by_accident(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".knify").mkdir()
    (tmp_path / ".knify" / "admin.key").write_text("knify_live_a_b")
    monkeypatch.setenv("HOME", str(tmp_path))

    assert access.resolve(environ={}).api_key == "knify_live_a_b"
    assert access.resolve(environ={"KNIFY_URL": "https://knify.example"}).api_key is None


@pytest.mark.parametrize("url", ["localhost:8122", "ftp://x", "http://", "http://x:port"])
def test_a_wrong_url_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(errors.ConfigError, match="KNIFY_URL must look like"):
        access.resolve(environ={"KNIFY_URL": url})


def test_a_key_is_never_shown() -> None:
    assert "secret" not in repr(access.Access("http://x", "secret"))


def test_a_retry_after_may_be_a_date() -> None:
    assert retry.Policy().delay(1, "Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert 0 < (retry.Policy().delay(1, "nonsense") or 0) <= 0.2


def test_a_page_of_something_else_is_no_refusal_of_knifys(
    server: scripted.Server, client: Client
) -> None:
    server.on("GET", "/jobs/job_1", b"<html>", 404, Content_Type="text/html; charset=utf-8")

    with pytest.raises(ConnectionFailed, match=r"is no Knify server \(404, text/html\)"):
        client.job("job_1")


def test_a_failed_handshake_is_not_told_to_start_a_server() -> None:
    failed = httpx.ConnectError("handshake")
    failed.__cause__ = ssl.SSLError("CERTIFICATE_VERIFY_FAILED")

    told = retry.no_answer(failed, access.Access("https://127.0.0.1:1", loopback=True))

    assert "no TLS connection" in told.message
    assert "knify up" not in told.message


@pytest.mark.parametrize(
    ("attempt", "met", "lasted", "over"),
    [
        (4, False, 0.0, True),  # it never answered
        (7, True, None, True),
        (6, True, None, False),
        (100, True, 299.0, False),  # a server that restarts
        (100, True, 300.0, True),
        (9, True, 1000.0, False),
    ],
)
def test_what_takes_long_is_patient_for_minutes(
    attempt: int, met: bool, lasted: float | None, over: bool
) -> None:
    assert retry.Policy().is_over(attempt, met=met, lasted=lasted) is over

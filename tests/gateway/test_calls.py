"""Calls of models through the gateway, against a stub of the vendors."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from knify.gateway import account as accounts
from knify.gateway import calls, counted, room
from knify.gateway import line as lines
from knify.store.usage import Usage
from tests.gateway import rig as rigs
from tests.gateway import web
from tests.parts import model_server, model_wire
from tests.parts.stack import eventually

KEY = "sk-the-operators-own-key"
HELLO = [{"role": "user", "content": "hello"}]
ANTHROPIC = ("/anthropic/v1/messages", {"model": "claude-x", "max_tokens": 9, "messages": HELLO})
CHAT = ("/openai/v1/chat/completions", {"model": "gpt-x", "messages": HELLO})
RESPONSES = ("/openai/v1/responses", {"model": "gpt-x", "input": "hello"})
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
GOOGLE = ("/google/v1beta/models/gemini-x:generateContent", CONTENTS)
GOOGLE_STREAM = ("/google/v1beta/models/gemini-x:streamGenerateContent?alt=sse", CONTENTS)
ALL = {"providers": ("anthropic", "google", "openai")}
COST = model_wire.Tokens(into=100, out=20, cached=40)


@pytest.fixture
def models() -> Iterator[model_server.Models]:
    with model_server.running(keys={KEY}, tokens=COST) as running:
        yield running


@pytest.fixture
def rig(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: model_server.Models
) -> Iterator[rigs.Rig]:
    prices = tmp_path / "prices.yaml"
    prices.write_text("claude-*: {input: 10, cached: 1, output: 100}\n")
    environ = {
        "KNIFY_ANTHROPIC_BASE_URL": models.url,
        "KNIFY_GEMINI_BASE_URL": models.url,
        "KNIFY_OPENAI_BASE_URL": f"{models.url}/v1",
        "KNIFY_PRICES_FILE": str(prices),
        **dict.fromkeys(("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY"), KEY),
    }
    with rigs.running(redis_url, tmp_path / "home", monkeypatch, **environ) as running:
        yield running


def post(url: str, call: tuple[str, dict[str, Any]], **more: Any) -> httpx.Response:
    path, body = call
    headers = {"x-api-key": "knify-gateway", "authorization": "Bearer knify-gateway"}
    return httpx.post(url + path, json=body | more, headers=headers, timeout=30)


@pytest.mark.parametrize("call", [ANTHROPIC, CHAT, RESPONSES, GOOGLE])
def test_a_call_gets_the_key_and_its_tokens_are_counted(
    rig: rigs.Rig, models: model_server.Models, call: tuple[str, dict[str, Any]]
) -> None:
    name, url = rig.open(**ALL)

    answer = post(url, call)

    assert answer.status_code == 200, answer.text
    assert models.asked[0].key == KEY and "knify-gateway" not in str(models.asked[0].headers)
    used = rig.core.store.usages.of(name)
    assert (used.calls, used.input, used.cached, used.output) == (1, 100, 40, 20)


@pytest.mark.parametrize(
    ("call", "more"),
    [
        (ANTHROPIC, {"stream": True}),
        (CHAT, {"stream": True, "stream_options": {"include_usage": True}}),
        (RESPONSES, {"stream": True}),
        (GOOGLE_STREAM, {}),
    ],
)
def test_of_a_stream_all_is_counted_before_its_end_is_seen(
    rig: rigs.Rig, call: tuple[str, dict[str, Any]], more: dict[str, Any]
) -> None:
    name, url = rig.open(**ALL)

    with httpx.stream("POST", url + call[0], json=call[1] | more, timeout=30) as answer:
        events = [line for line in answer.iter_lines() if line.startswith("data:")]

    assert answer.headers["content-type"].startswith("text/event-stream") and len(events) > 1
    used = rig.core.store.usages.of(name)
    assert (used.calls, used.input, used.cached, used.output) == (1, 100, 40, 20)


def test_pieces_of_a_stream_come_when_the_vendor_sends_them(
    rig: rigs.Rig, models: model_server.Models
) -> None:
    models.pace = 0.1
    _, url = rig.open(**ALL)
    path, body = ANTHROPIC

    with httpx.stream("POST", url + path, json=body | {"stream": True}, timeout=30) as answer:
        pieces = answer.iter_raw()
        next(pieces)

        assert models.asked[0].tokens is None  # it has not sent all yet
        assert b"message_stop" in b"".join(pieces)


def test_a_vendor_that_is_silent_in_a_stream_is_waited_for(
    rig: rigs.Rig, models: model_server.Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "WRITE_SECONDS", 0.01)  # for writing, not for waiting
    ticking = asyncio.run_coroutine_threadsafe(_tick(rig), rig.loop)
    models.pace = 0.3
    _, url = rig.open(**ALL)

    answer = post(url, ANTHROPIC, stream=True)

    assert "message_stop" in answer.text
    ticking.cancel()


async def _tick(rig: rigs.Rig) -> None:
    """As the gateway does, more often."""
    while True:
        for door in rig.gateway.doors._open.values():
            door.abort_overdue(time.monotonic())
        await asyncio.sleep(0.01)


def test_what_it_costs_is_told_by_the_operators_prices(rig: rigs.Rig) -> None:
    name, url = rig.open(**ALL)

    post(url, ANTHROPIC)
    post(url, CHAT)

    used = rig.core.store.usages.of(name)
    assert used.cost_usd == pytest.approx((60 * 10 + 40 * 1 + 20 * 100) / 1e6)
    assert (used.calls, used.unpriced, used.tokens) == (2, 1, 240)


def test_a_budget_of_tokens_ends_further_calls_and_is_told(
    rig: rigs.Rig, models: model_server.Models
) -> None:
    name, url = rig.open(max_tokens=200, **ALL)

    answers = [post(url, ANTHROPIC).status_code for _ in range(4)]

    assert answers == [200, 200, 403, 403]
    assert len(models.asked) == 2
    assert rig.told(name) == [("budget_exceeded", "240 tokens of 200 used")]


def test_a_budget_of_dollars_needs_a_price(rig: rigs.Rig) -> None:
    name, url = rig.open(max_cost_usd=0.002, **ALL)

    assert post(url, CHAT).status_code == 403
    assert [post(url, ANTHROPIC).status_code for _ in range(2)] == [200, 403]
    assert [stage for stage, _ in rig.told(name)] == ["model_refused", "budget_exceeded"]


def test_only_allowed_models_are_asked(rig: rigs.Rig, models: model_server.Models) -> None:
    name, url = rig.open(models=("claude-y", "gemini-*"), **ALL)

    assert post(url, ANTHROPIC).status_code == 403
    assert post(url, GOOGLE).status_code == 200
    assert rig.told(name) == [("model_refused", "claude-x is no model that is allowed here")]
    doubled = '{"model": "claude-y", "model": "claude-x", "messages": []}'
    assert httpx.post(url + ANTHROPIC[0], content=doubled).status_code == 400
    assert len(models.asked) == 1


TOOLS = [
    (ANTHROPIC, {"type": "web_search_20250305", "name": "web_search"}, "web_search"),
    (RESPONSES, {"type": "mcp", "server_url": "https://evil.example"}, "mcp"),
    (GOOGLE, {"googleSearch": {}}, "google_search"),
    (("/anthropic/v1/messages/count_tokens", ANTHROPIC[1]), {"type": "x_1"}, "x_1"),
]


@pytest.mark.parametrize(("call", "tool", "name"), TOOLS)
def test_what_a_vendor_would_do_by_itself_needs_the_operators_word(
    rig: rigs.Rig,
    models: model_server.Models,
    call: tuple[str, dict[str, Any]],
    tool: dict[str, Any],
    name: str,
) -> None:
    job, url = rig.open(**ALL)

    refused = post(url, call, tools=[tool])
    rig.make(lambda: setattr(rig.gateway._calls, "_allowed", ("other", name)))
    passed = post(url, call, tools=[tool])

    assert refused.status_code == 400 != passed.status_code
    vendor = call[0].split("/")[1]
    assert "KNIFY_VENDOR_TOOLS" in refused.json()["error"]["message"]
    assert rig.told(job) == [("tool_refused", f"{vendor}'s own {name} was refused")]
    assert len(models.requests) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/anthropic/v1/files"),
        ("POST", "/anthropic/v1/messages/batches"),
        ("POST", "/anthropic/v1/messages/../files"),
        ("POST", "/anthropic/v1/%6dessages"),
        ("POST", "/openai/v1/files"),
        ("GET", "/openai/v1/responses/resp_1"),
        ("POST", "/google/v1beta/models/m:batchGenerateContent"),
        ("POST", "/google/v1beta/cachedContents"),
        ("POST", "/openai/responses"),
        ("DELETE", "/anthropic/v1/messages"),
        ("GET", "/"),
    ],
)
def test_nothing_but_calls_of_models_is_passed_on(
    rig: rigs.Rig, models: model_server.Models, method: str, path: str
) -> None:
    _, url = rig.open(**ALL)

    with httpx.Client() as client:
        request = client.build_request(method, url, json={"model": "claude-x", "input": "x"})
        request.extensions["target"] = path.encode()
        assert client.send(request).status_code == 404

    assert models.requests == []


def test_no_sandbox_chooses_where_a_call_goes_or_how_it_and_its_usage_are_read(
    rig: rigs.Rig, models: model_server.Models
) -> None:
    _, url = rig.open(**ALL)
    headers = {
        "x-goog-fieldmask": "candidates",
        "x-goog-api-client": "cli",
        "x-http-method-override": "GET",
        "x-original-url": "/v1/files",
        "x-litellm-api-base": "http://evil.example",
        "x-portkey-config": "x",
        "content-encoding": "deflate",
        "content-type": "application/x-protobuf",
        "anthropic-beta": "some-feature",
        "x-stainless-lang": "js",
    }
    query = "alt=proto&fields=candidates&%66ields=candidates&prettyPrint=false&key=k&alt=sse"

    httpx.post(f"{url}{GOOGLE_STREAM[0].partition('?')[0]}?{query}", json=CONTENTS, headers=headers)

    assert models.asked[0].path.endswith("streamGenerateContent?alt=sse")
    sent = {name.lower(): value for name, value in models.asked[0].headers.items()}
    passed = {"x-goog-api-client", "anthropic-beta", "x-stainless-lang"}
    assert sent.keys() & headers.keys() == passed | {"content-type"}
    assert sent["content-type"] == "application/json"


def test_another_vendor_than_the_jobs_is_out_of_reach(rig: rigs.Rig) -> None:
    _, url = rig.open(providers=("google",))

    assert post(url, ANTHROPIC).status_code == 404
    assert post(url, GOOGLE).status_code == 200


@pytest.mark.parametrize("status", ["401", "429", "500", "529"])
def test_a_vendors_errors_reach_the_agent_and_the_history(
    rig: rigs.Rig, models: model_server.Models, status: str
) -> None:
    name, url = rig.open(**ALL)
    models.faults.append(status)
    models.retry_after = "7"

    answer = post(url, ANTHROPIC)

    after = ", again after 7" if status == "429" else ""
    assert answer.status_code == int(status) and answer.json()["type"] == "error"
    assert rig.told(name) == [("model_error", f"anthropic answered {status}{after}")]
    assert rig.core.store.usages.of(name) == Usage()


def test_half_a_stream_breaks_off_for_the_agent_too_and_is_estimated(
    rig: rigs.Rig, models: model_server.Models
) -> None:
    name, url = rig.open(**ALL)
    models.faults.append(model_server.HALF)

    with pytest.raises(httpx.RemoteProtocolError):
        post(url, ANTHROPIC, stream=True)

    used = eventually(lambda: u if (u := rig.core.store.usages.of(name)).calls else None)
    assert used.input == 100 and used.output > 0
    assert ("model_error", "the vendor's answer broke off") in rig.told(name)


def test_a_call_is_counted_by_an_estimate_from_its_beginning_on(
    rig: rigs.Rig, models: model_server.Models
) -> None:
    name, url = rig.open(**ALL)
    models.pace = 0.05
    path, body = ANTHROPIC

    with httpx.stream("POST", url + path, json=body | {"stream": True}, timeout=30) as answer:
        begun = rig.core.store.usages.of(name)
        answer.read()

    estimate = len(json.dumps(body | {"stream": True}, separators=(",", ":"))) // 3 + 1
    assert begun == Usage(calls=1, input=estimate, nano_usd=estimate * 10_000)
    after = rig.core.store.usages.of(name)
    assert after == Usage(1, 100, 40, 0, 20, nano_usd=2_640_000)


@pytest.mark.parametrize("call", [ANTHROPIC, CHAT, RESPONSES, GOOGLE_STREAM])
def test_of_an_agent_that_hangs_up_in_a_stream_all_is_counted(
    rig: rigs.Rig, models: model_server.Models, call: tuple[str, dict[str, Any]]
) -> None:
    name, url = rig.open(**ALL)
    models.pace = 0.05
    path, body = call

    with httpx.stream("POST", url + path, json=body | {"stream": True}, timeout=30) as answer:
        next(answer.iter_raw())

    used = eventually(lambda: u if (u := rig.core.store.usages.of(name)).output >= 20 else None)
    assert (used.input, used.cached, used.output) == (100, 40, 20)


def test_a_stream_of_chat_completions_has_to_tell_its_usage(
    rig: rigs.Rig, models: model_server.Models
) -> None:
    _, url = rig.open(**ALL)

    post(url, CHAT, stream=True)
    post(url, CHAT, stream=True, stream_options={"continuous_usage_stats": True, "x": 1})
    post(url, CHAT)

    options = [one.body.get("stream_options") for one in models.asked]
    assert options == [{"include_usage": True}, {"x": 1, "include_usage": True}, None]


def test_an_agent_that_hangs_up_pays_what_it_asked_and_what_may_have_come_out(
    rig: rigs.Rig, models: model_server.Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counted, "LEFT_SECONDS", 0.2)
    name, url = rig.open(**ALL)
    models.faults.append(model_server.HANG)

    with pytest.raises(httpx.ReadTimeout):
        httpx.post(url + ANTHROPIC[0], json=ANTHROPIC[1] | {"x": "y" * 4_000}, timeout=0.5)

    eventually(lambda: models.asked and models.asked[0].is_abandoned)
    used = eventually(lambda: u if (u := rig.core.store.usages.of(name)).output else None)
    assert used.input > 1_000
    assert used.output == ANTHROPIC[1]["max_tokens"]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_call_that_is_never_answered_counts_if_it_was_sent(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as vendor:
        environ = {"KNIFY_OPENAI_BASE_URL": f"http://127.0.0.1:{vendor.getsockname()[1]}/v1"}

        def take() -> None:
            with vendor.accept()[0] as one:
                one.recv(65_536)

        if is_there:
            threading.Thread(target=take, daemon=True).start()
        else:
            vendor.close()
        with rigs.running(redis_url, tmp_path / "home", monkeypatch, **environ) as rig:
            name, url = rig.open(**ALL)
            assert post(url, CHAT).status_code == 502
            used = rig.core.store.usages.of(name)

    assert (used.calls, used.unpriced, used.input > 0) == (is_there, is_there, is_there)


def test_the_key_is_hidden_where_a_vendor_quotes_it(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with web.running(f"the key {KEY} is not valid", status=401) as vendor:
        environ = {"KNIFY_OPENAI_BASE_URL": f"http://127.0.0.1:{vendor.port}/v1"}
        environ["OPENAI_API_KEY"] = KEY
        with rigs.running(redis_url, tmp_path / "home", monkeypatch, **environ) as rig:
            answer = post(rig.open(**ALL)[1], CHAT)

    assert answer.status_code == 401
    assert "the key [hidden] is not valid" in answer.text


def test_an_ended_job_asks_no_model(rig: rigs.Rig, models: model_server.Models) -> None:
    name, url = rig.open(**ALL)
    post(url, ANTHROPIC)

    entry = {"t": 0, "e": []}
    rig.core.store.executions.cancel(name, "enough", entry)
    refused = post(url, ANTHROPIC)

    assert (refused.status_code, len(models.asked)) == (403, 1)
    assert "has ended" in refused.text
    assert rig.core.store.usages.of(name).calls == 1  # the refused one took nothing


def test_a_budget_that_cannot_be_looked_up_lets_no_call_through(
    rig: rigs.Rig, models: model_server.Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, url = rig.open(**ALL, max_tokens=1_000)
    with without_redis(rig, monkeypatch):
        assert post(url, ANTHROPIC).status_code == 503

    assert models.asked == []
    assert post(url, ANTHROPIC).status_code == 200


def test_a_second_account_of_one_execution_counts_on(rig: rigs.Rig) -> None:
    name, usages = rig.submit(), rig.core.store.usages

    async def spend(tokens: int) -> None:
        account = accounts.Account(usages, name, "one-life")
        accounts.Booking(account).set(Usage(calls=1, input=tokens))
        await account.save()

    rig.call(spend(500))
    rig.call(spend(400))

    assert usages.of(name).tokens == 900


def test_a_prompt_of_megabytes_goes_through(rig: rigs.Rig, models: model_server.Models) -> None:
    _, url = rig.open(**ALL)
    long = [{"role": "user", "content": "x" * 3_000_000}]

    assert post(url, ANTHROPIC, messages=long).status_code == 200
    assert len(json.dumps(models.asked[0].body)) > 3_000_000


@pytest.mark.parametrize("odd", [{"x": [[]] * 400_000}, {"Model": "another"}])
def test_what_is_long_to_read_or_read_in_two_ways_goes_nowhere(
    rig: rigs.Rig, models: model_server.Models, odd: dict[str, Any]
) -> None:
    _, url = rig.open(**ALL)

    assert post(url, ANTHROPIC, **odd).status_code == 400
    assert models.asked == []


def test_one_sandbox_takes_its_share_of_the_room_only(
    rig: rigs.Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "SHARE", 2_000_000)
    long = [{"role": "user", "content": "x" * 1_500_000}]
    greedy, other = rig.open(**ALL)[1], rig.open(**ALL)[1]
    host, port = greedy.removeprefix("http://").split(":")
    head = "POST /anthropic/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 1500000\r\n\r\n"
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(head.encode() + b" " * 1_400_000)
        eventually(lambda: post(greedy, ANTHROPIC, messages=long).status_code == 503)
        assert post(other, ANTHROPIC, messages=long).status_code == 200

    eventually(lambda: post(greedy, ANTHROPIC, messages=long).status_code == 200)


def test_a_request_that_trickles_is_given_up(
    rig: rigs.Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "BODY_SECONDS", 0.5)
    host, port = rig.open(**ALL)[1].removeprefix("http://").split(":")
    head = "POST /anthropic/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as slow:
        slow.sendall(head.encode() + b"{")
        assert slow.recv(100).startswith(b"HTTP/1.1 408")


@contextmanager
def without_redis(rig: rigs.Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import redis

    def away(*_: Any, **__: Any) -> None:
        raise redis.ConnectionError("away")

    with monkeypatch.context() as patch:
        patch.setattr(type(rig.core.store.usages), "add", away)
        yield


def test_what_redis_could_not_take_is_counted_with_the_next_call(
    rig: rigs.Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, url = rig.open(**ALL)
    with without_redis(rig, monkeypatch):
        assert post(url, ANTHROPIC).status_code == 200

    post(url, ANTHROPIC)

    assert rig.core.store.usages.of(name).calls == 2

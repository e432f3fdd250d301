"""The stub of the models' vendors itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.parts import model_server
from tests.parts.model_server import Models
from tests.parts.model_wire import Tokens

FORMATS = ("anthropic", "google", "responses", "chat")


@pytest.fixture
def models() -> Iterator[Models]:
    with model_server.running() as running:
        yield running


class Talk:
    """A conversation in one vendor's format, as an agent holds it."""

    def __init__(self, models: Models, kind: str, stream: bool = True) -> None:
        self.models, self.kind, self.stream = models, kind, stream
        self.history: list[Any] = []

    def prompt(self, text: str) -> None:
        if self.kind == "google":
            self.history.append({"role": "user", "parts": [{"text": text}]})
        else:
            self.history.append({"role": "user", "content": text})

    def result(self, call: str, text: str) -> None:
        self.history.append(
            {
                "anthropic": {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": call, "content": text}],
                },
                "google": {
                    "role": "user",
                    "parts": [{"functionResponse": {"name": "x", "response": {"output": text}}}],
                },
                "responses": {"type": "function_call_output", "call_id": call, "output": text},
                "chat": {"role": "tool", "tool_call_id": call, "content": text},
            }[self.kind]
        )

    def ask(self, **client: Any) -> httpx.Response:
        tools = {"name": "Bash"}
        body: dict[str, Any] = {"model": "m", "stream": self.stream}
        path, rest = {
            "anthropic": ("/v1/messages", {"tools": [tools], "messages": self.history}),
            "responses": ("/v1/responses", {"tools": [tools], "input": self.history}),
            "chat": (
                "/v1/chat/completions",
                {"tools": [{"function": tools}], "messages": self.history},
            ),
            "google": (
                f"/v1beta/models/m:{'streamG' if self.stream else 'g'}enerateContent",
                {"tools": [{"functionDeclarations": [tools]}], "contents": self.history},
            ),
        }[self.kind]
        return httpx.post(
            self.models.url + path, json=body | rest, timeout=30, verify=False, **client
        )


def texts(value: Any) -> str:
    """All streamed or whole texts of an answer, one after the other."""
    if isinstance(value, list):
        return "".join(texts(one) for one in value)
    if not isinstance(value, dict):
        return ""
    named = ("text", "content", "delta")
    own = "".join(value[name] for name in named if isinstance(value.get(name), str))
    return own + "".join(texts(one) for one in value.values())


def data(response: httpx.Response) -> list[dict[str, Any]]:
    lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_prompt_is_played_step_by_step(models: Models, kind: str, stream: bool) -> None:
    talk = Talk(models, kind, stream)
    talk.prompt("SAY I begin\nRUN echo hello\nSAY All of it is done, as it was asked for")

    first = talk.ask()
    talk.result("call_1", "hello")
    second = talk.ask()

    assert "echo hello" in first.text.replace('\\"', "")
    assert "I begin" in first.text
    assert "as it was asked for" not in first.text
    said = data(second)[:-1] if stream and kind != "google" else data(second)
    shown = texts(said if stream else second.json())
    assert "All of it is done, as it was asked for" in shown
    assert [one.status for one in models.asked] == [200, 200]
    assert models.asked[1].asked and models.asked[1].asked.tools == ("Bash",)


@pytest.mark.parametrize("kind", FORMATS)
def test_it_recalls_what_was_asked_before(models: Models, kind: str) -> None:
    talk = Talk(models, kind, stream=False)
    for prompt in ("SAY one", "SAY two", "RECALL"):
        talk.prompt(prompt)

    assert "Before: SAY one | SAY two" in texts(talk.ask().json())


@pytest.mark.parametrize("kind", FORMATS)
def test_tokens_are_told_and_summed(models: Models, kind: str) -> None:
    models.tokens = Tokens(700, 30, 200)
    talk = Talk(models, kind)
    talk.prompt("SAY x")

    told = talk.ask().text + talk.ask().text

    assert "30" in told
    assert "700" in told or "500" in told  # one vendor tells the cached ones apart
    assert models.spent == Tokens(1400, 60, 400)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("fault", ["401", "429", "500"])
def test_faults_come_from_a_queue_or_from_the_prompt(models: Models, kind: str, fault: str) -> None:
    models.retry_after = "2"
    models.faults.append(fault)
    talk = Talk(models, kind)
    talk.prompt("SAY x")

    failed, fine = talk.ask(), talk.ask()
    talk.prompt(f"FAULT {fault}")
    again = talk.ask()

    assert [one.status_code for one in (failed, fine, again)] == [int(fault), 200, int(fault)]
    assert failed.headers.get("retry-after") == ("2" if fault == "429" else None)
    assert "error" in failed.json()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_stream_can_break_off_and_an_answer_never_come(models: Models, kind: str) -> None:
    talk = Talk(models, kind)
    talk.prompt("SAY " + "word " * 50)

    models.faults.extend([model_server.HALF, model_server.HANG])
    with pytest.raises(httpx.RemoteProtocolError):
        talk.ask()
    with pytest.raises(httpx.ReadTimeout), httpx.Client() as client:
        client.post(f"{models.url}/v1/messages", json={"messages": talk.history}, timeout=0.2)

    assert models.spent == Tokens(0, 0, 0)


def test_only_who_has_a_key_is_let_in_and_each_request_is_remembered(models: Models) -> None:
    models.keys = {"good"}
    talk = Talk(models, "anthropic")
    talk.prompt("SAY x")

    statuses = [
        talk.ask(headers=headers).status_code
        for headers in (
            {},
            {"x-api-key": "bad"},
            {"x-api-key": "good"},
            {"authorization": "Bearer good"},
            {"x-goog-api-key": "good"},
        )
    ]

    assert statuses == [401, 401, 200, 200, 200]
    assert [one.key for one in models.requests] == [None, "bad", "good", "good", "good"]
    assert models.requests[0].body["messages"] == talk.history
    assert httpx.head(models.url).status_code == 200
    assert httpx.get(f"{models.url}/v1/models").json()["data"] == []
    assert httpx.get(f"{models.url}/other").status_code == 404

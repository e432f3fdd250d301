"""What a request would have its vendor do by itself, found wherever it stands."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from knify import errors
from knify.gateway import beyond, questions, vendors

URL = "https://evil.example/?stolen"
IMAGE = {"type": "image", "source": {"type": "url", "url": URL}}
WEB = {"type": "web_search_20250305", "name": "web_search"}


def said(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def contents(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": list(parts)}]}


@pytest.mark.parametrize(
    ("vendor", "body", "names"),
    [
        ("anthropic", {"tools": [WEB]}, "web_search"),
        ("anthropic", {"tools": [{"type": "web_fetch_20250910"}]}, "web_fetch"),
        ("anthropic", {"tools": [{"type": "code_execution_20250825"}]}, "code_execution"),
        ("anthropic", {"tools": [{"type": "computer_20250124"}]}, "computer"),
        ("anthropic", {"tools": [{"type": "mcp_toolset", "mcp_server_name": "x"}]}, "mcp"),
        ("anthropic", {"tools": [{"type": "of_tomorrow"}]}, "of_tomorrow"),
        ("anthropic", {"mcp_servers": [{"type": "url", "url": URL}]}, "mcp"),
        ("anthropic", {"container": {"skills": ["x"]}}, "code_execution"),
        ("anthropic", {"service_tier": "priority", "speed": "fast"}, "service_tier speed"),
        ("anthropic", said(IMAGE), "urls"),
        ("anthropic", said({"type": "document", "source": {"type": "file"}}), "files"),
        ("anthropic", said({"type": "tool_result", "content": [IMAGE]}), "urls"),
        ("anthropic", said({"type": "container_upload", "file_id": "f"}), "files"),
        ("openai", {"tools": [{"type": "web_search_preview_2025_03_11"}]}, "web_search"),
        ("openai", {"tools": [{"type": "code_interpreter"}, {"type": "mcp"}]},
         "code_interpreter mcp"),
        ("openai", {"tools": [{"type": "shell"}]}, "shell"),
        ("openai", {"input": [{"type": "additional_tools", "tools": [{"type": "mcp"}]}]}, "mcp"),
        ("openai", {"tools": [{"type": "namespace", "tools": [{"type": "mcp"}]}]}, "mcp"),
        ("openai", {"web_search_options": {"x": 1}}, "web_search"),
        ("openai", {"model": "gpt-4o-search-preview"}, "web_search"),
        ("openai", {"previous_response_id": "resp_1"}, "stored"),
        ("openai", {"input": [{"type": "item_reference", "id": "x"}]}, "stored"),
        ("openai", {"input": [{"id": "msg_1"}]}, "stored"),
        ("openai", {"input": [{"type": None, "id": "msg_1", "role": "assistant"}]}, "stored"),
        ("openai", {"input": [{"type": "reasoning", "id": "rs_1", "summary": [1]}]}, "stored"),
        ("openai", {"input": [{"type": "image_generation_call", "id": "ig_1"}]}, "stored"),
        ("openai", {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}, "stored"),
        ("openai", said({"type": "video_url", "video_url": {"url": URL}}), "urls"),
        ("openai", said({"type": "audio_url", "audio_url": URL}), "urls"),
        ("openai", said({"type": "file", "file": {"file_data": URL}}), "urls"),
        ("openai", {"input": [{"type": "input_file", "file_url": {"url": URL}}]}, "urls"),
        ("openai", said({"type": "image", "image": URL}), "urls"),
        ("anthropic", said({"type": "image_url", "image_url": {"url": URL}}), "urls"),
        ("openai", said({"type": "image_url", "image_url": {"url": URL}}), "urls"),
        ("openai", {"input": [{"content": [{"type": "input_image", "image_url": URL}]}]}, "urls"),
        ("openai", {"input": [{"content": [{"type": "input_file", "file_url": URL}]}]}, "urls"),
        ("openai", said({"type": "file", "file": {"file_id": "file-1"}}), "files"),
        ("openai", {"service_tier": "priority"}, "service_tier"),
        ("google", {"tools": [{"googleSearch": {}}]}, "google_search"),
        ("google", {"tools": [{"google_search": {}}]}, "google_search"),
        ("google", {"tools": {"urlContext": {}}}, "url_context"),
        ("google", {"tools": [{"functionDeclarations": [], "codeExecution": {}}]},
         "code_execution"),
        ("google", {"cachedContent": "cachedContents/1"}, "stored"),
        ("google", {"cached_content": "cachedContents/1"}, "stored"),
        ("google", contents({"fileData": {"fileUri": URL}}), "urls"),
        ("google", contents({"file_data": {"file_uri": URL}}), "urls"),
        ("google", contents({"functionResponse": {"parts": [{"fileData": {}}]}}), "urls"),
        ("google", {"generateContentRequest": {"cachedContent": "x"}}, "stored"),
    ],
)  # fmt: skip
def test_what_a_vendor_would_do_by_itself_is_found(
    vendor: str, body: dict[str, Any], names: str
) -> None:
    assert beyond.asked(vendor, body) == names.split()


@pytest.mark.parametrize(
    ("vendor", "body"),
    [
        ("anthropic", {"tools": [{"name": "Bash"}, {"type": "custom"}, {"type": "bash_20250124"}]}),
        ("anthropic", said({"type": "tool_use", "input": {"source": {"type": "url"}, "x": [WEB]}})),
        ("anthropic", {"tools": [{"name": "x", "input_schema": {"tools": {"type": "array"}}}]}),
        ("anthropic", said({"type": "image", "source": {"type": "base64", "data": ""}})),
        ("openai", {"tools": [{"type": "function"}, {"type": "custom"}, {"type": "local_shell"}]}),
        ("openai", {"tools": [{"type": "shell", "environment": {"type": "local"}}]}),
        ("openai", {"input": "see https://example.com", "prompt": None, "service_tier": "auto"}),
        ("openai", said({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}})),
        ("openai", {"input": [{"type": "reasoning", "id": "rs_1", "encrypted_content": "x"}]}),
        ("openai", {"input": [{"id": "m", "role": "assistant", "content": [{"text": "x"}]}]}),
        ("openai", {"input": [{"type": "function_call", "id": "f", "call_id": "c"}]}),
        ("openai", said({"type": "file", "file": {"file_data": "QUJD", "filename": "a:b"}})),
        ("google", {"tools": [{"functionDeclarations": [{"name": "googleSearch"}]}]}),
        ("google", contents({"functionCall": {"args": {"fileData": 1, "tools": [1]}}})),
        ("google", contents({"inlineData": {"mimeType": "image/png", "data": ""}})),
    ],
)
def test_what_the_agents_own_program_does_is_none_of_it(vendor: str, body: dict[str, Any]) -> None:
    assert beyond.asked(vendor, body) == []


def test_what_a_program_offers_unasked_is_taken_out_unless_it_is_allowed() -> None:
    body = {
        "model": "gpt-x",
        "tools": [{"type": "function", "name": "é"}, {"type": "web_search"}],
        "input": [{"type": "additional_tools", "tools": [{"type": "web_search"}]}],
    }
    route = vendors.Route(vendors.Vendor("openai", "", None), "", is_call=True)
    content = json.dumps(body).encode()

    dropped = questions.read(route, content)
    kept = questions.read(route, content, ("web_*",))

    sent = json.loads(dropped.content)
    assert (dropped.beyond, kept.beyond, kept.content) == ((), (), content)
    assert sent["tools"] == [{"type": "function", "name": "é"}]
    assert sent["input"] == [{"type": "additional_tools", "tools": []}]


@pytest.mark.parametrize(
    ("vendor", "content"),
    [
        ("google", b'{"tools":[{"%s":1}]}' % (b"aA" * 1_000_000)),
        ("openai", b'{"model":"m","tools":[{"type":"%s"}]}' % (b"_" * 2_000_000)),
        ("openai", b'{"model":"%s"}' % (b"s" * 2_000_000)),
        ("google", b'{"generateContentRequest":{"model":"%s"}}' % (b"search-" * 300_000)),
        ("anthropic", b'{"model":"m","tools":[{"type":"\\ud800"}]}'),
        ("anthropic", b'{"model":"\\udfff"}'),
    ],
    ids=["google-tool", "openai-tool", "model", "inner-model", "half-a-pair", "half-model"],
)
def test_a_name_that_is_too_long_or_no_text_is_refused_before_it_is_looked_at_closer(
    vendor: str, content: bytes
) -> None:
    path = "g" if vendor == "google" else None
    route = vendors.Route(vendors.Vendor(vendor, "", None), "", is_call=True, model=path)

    with pytest.raises(errors.BadRequest, match="printable"):
        questions.read(route, content, ("*x*y*",))


def test_what_stands_within_one_another_is_not_written_out_once_for_each() -> None:
    one: dict[str, Any] = {"text": "x" * 4_000_000}
    for _ in range(300):
        one = {"file_id": "f", "type": one}
    begun = time.process_time()

    assert beyond.asked("openai", one) == ["files"]

    assert time.process_time() - begun < 0.5  # 300 times the text are 1.2 GB


@pytest.mark.parametrize(
    ("vendor", "body"),
    [
        ("google", {"cachedContent": "x", "cached_content": None}),
        ("google", contents({"fileData": {"fileUri": URL}, "file_data": None})),
        ("google", {"model": "models/gemini-ultra"}),
        ("openai", {"Tools": [{"type": "web_search"}]}),
        ("openai", {"tools": [{"Type": "web_search"}]}),
        ("openai", {"Previous_Response_Id": "r"}),
        ("anthropic", {"mcp_\u017fervers": [{"url": URL}]}),
    ],
)
def test_what_some_read_as_another_name_is_not_passed_on(vendor: str, body: dict[str, Any]) -> None:
    named = "gemini-x" if vendor == "google" else None
    route = vendors.Route(vendors.Vendor(vendor, "", None), "", is_call=True, model=named)

    with pytest.raises(errors.BadRequest):
        questions.read(route, json.dumps({"model": named or "m"} | body).encode())


def test_a_tools_arguments_have_names_as_they_like() -> None:
    call = {"type": "tool_use", "input": {"Model": 1, "Type": [{"a": 1}]}}
    route = vendors.Route(vendors.Vendor("anthropic", "", None), "", is_call=True)

    assert questions.read(route, json.dumps({"model": "m"} | said(call)).encode()).beyond == ()

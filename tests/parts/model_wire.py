"""The wire formats of models' vendors, as the stub speaks them: a request read, an answer written.

Sources: the vendors' documentation of Anthropic's Messages and Google's generateContent, each whole
and as server-sent events; OpenAI's stand in `model_openai`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from tests.parts.model_script import Answer, Asked, Said

_PIECE = 24  # characters of a streamed text at a time


@dataclass(frozen=True)
class Tokens:
    """What an answer costs, in tokens; the cached ones are part of those that went in."""

    into: int
    out: int
    cached: int = 0


class Wire(Protocol):
    """One vendor's format."""

    def read(self, path: str, body: dict[str, Any]) -> Asked: ...

    def whole(self, asked: Asked, answer: Answer, tokens: Tokens) -> dict[str, Any]: ...

    def events(self, asked: Asked, answer: Answer, tokens: Tokens) -> Iterator[str]: ...

    def error(self, status: int, message: str) -> dict[str, Any]: ...


def pieces(text: str) -> Iterator[str]:
    """What is streamed of a text, one after the other."""
    return (text[n : n + _PIECE] for n in range(0, len(text), _PIECE))


def texts(content: Any) -> str:
    """A content that is a text, or a list of parts of which some are."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(texts(part.get("text")) for part in parts if isinstance(part, dict))


def sse(data: dict[str, Any], event: str | None = None) -> str:
    """One server-sent event."""
    return (f"event: {event}\n" if event else "") + f"data: {json.dumps(data)}\n\n"


class Anthropic:
    """POST /v1/messages."""

    def read(self, path: str, body: dict[str, Any]) -> Asked:
        return Asked(
            body.get("model", ""),
            bool(body.get("stream")),
            tuple(tool.get("name", "") for tool in body.get("tools", [])),
            tuple(self._said(message) for message in body.get("messages", [])),
        )

    def _said(self, message: dict[str, Any]) -> Said:
        content = message.get("content")
        parts = content if isinstance(content, list) else []
        results = [part for part in parts if part.get("type") == "tool_result"]
        said = content if isinstance(content, str) else [p for p in parts if p not in results]
        return Said(
            message["role"], texts(said), tuple(texts(part.get("content")) for part in results)
        )

    def _message(self, asked: Asked, tokens: Tokens) -> dict[str, Any]:
        usage = {
            "input_tokens": tokens.into - tokens.cached,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": tokens.cached,
            "output_tokens": 1,
        }
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked.model}
        return {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}

    def whole(self, asked: Asked, answer: Answer, tokens: Tokens) -> dict[str, Any]:
        message = self._message(asked, tokens)
        text = [{"type": "text", "text": answer.text}] if answer.text else []
        calls = [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}
            for call in answer.calls
        ]
        message["usage"]["output_tokens"] = tokens.out
        stop = "tool_use" if calls else "end_turn"
        return message | {"content": text + calls, "stop_reason": stop}

    def events(self, asked: Asked, answer: Answer, tokens: Tokens) -> Iterator[str]:
        whole = self.whole(asked, answer, tokens)
        yield self._event("message_start", message=self._message(asked, tokens))
        for index, block in enumerate(whole["content"]):
            if block["type"] == "text":
                empty: dict[str, Any] = {"type": "text", "text": ""}
                deltas = [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
            else:
                empty = block | {"input": {}}
                deltas = [
                    {"type": "input_json_delta", "partial_json": piece}
                    for piece in pieces(json.dumps(block["input"]))
                ]
            yield self._event("content_block_start", index=index, content_block=empty)
            for delta in deltas:
                yield self._event("content_block_delta", index=index, delta=delta)
            yield self._event("content_block_stop", index=index)
        stop = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
        yield self._event("message_delta", delta=stop, usage={"output_tokens": tokens.out})
        yield self._event("message_stop")

    def _event(self, kind: str, **fields: Any) -> str:
        return sse({"type": kind, **fields}, kind)

    def error(self, status: int, message: str) -> dict[str, Any]:
        kinds = {401: "authentication_error", 429: "rate_limit_error", 404: "not_found_error"}
        kind = kinds.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}}


class Google:
    """POST /v1beta/models/MODEL:generateContent and :streamGenerateContent."""

    def read(self, path: str, body: dict[str, Any]) -> Asked:
        found = re.search(r"/models/([^/:]+):(\w+)", path)
        name, verb = found.groups() if found else ("", "")
        tools = [
            one.get("name", "")
            for tool in body.get("tools", [])
            for one in tool.get("functionDeclarations", [])
        ]
        said = tuple(self._said(content) for content in body.get("contents", []))
        wanted = body.get("generationConfig", {})
        schema = wanted.get("responseJsonSchema") or wanted.get("responseSchema")
        return Asked(name, verb.startswith("stream"), tuple(tools), said, schema)

    def _said(self, content: dict[str, Any]) -> Said:
        parts = content.get("parts", [])
        results = [part["functionResponse"] for part in parts if "functionResponse" in part]
        role = "assistant" if content.get("role") == "model" else "user"
        return Said(role, texts(parts), tuple(json.dumps(one.get("response")) for one in results))

    def _chunk(self, asked: Asked, parts: list[Any], tokens: Tokens | None) -> dict[str, Any]:
        candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": parts}}
        if tokens is None:
            return {"candidates": [candidate], "modelVersion": asked.model}
        usage = {
            "promptTokenCount": tokens.into,
            "candidatesTokenCount": tokens.out,
            "cachedContentTokenCount": tokens.cached,
            "totalTokenCount": tokens.into + tokens.out,
        }
        ended = {"candidates": [candidate | {"finishReason": "STOP"}], "usageMetadata": usage}
        return ended | {"modelVersion": asked.model}

    def _calls(self, answer: Answer) -> list[dict[str, Any]]:
        return [
            {"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}}
            for call in answer.calls
        ]

    def whole(self, asked: Asked, answer: Answer, tokens: Tokens) -> dict[str, Any]:
        text = [{"text": answer.text}] if answer.text else []
        return self._chunk(asked, text + self._calls(answer), tokens)

    def events(self, asked: Asked, answer: Answer, tokens: Tokens) -> Iterator[str]:
        for piece in pieces(answer.text):
            yield sse(self._chunk(asked, [{"text": piece}], None))
        yield sse(self._chunk(asked, self._calls(answer) or [{"text": ""}], tokens))

    def error(self, status: int, message: str) -> dict[str, Any]:
        kinds = {401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED", 404: "NOT_FOUND"}
        kind = kinds.get(status, "INTERNAL")
        return {"error": {"code": status, "message": message, "status": kind}}

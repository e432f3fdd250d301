"""The wire formats of models' vendors, as the stub speaks them: a request read, an answer written.

Sources: the vendors' documentation of Anthropic's Messages, Google's generateContent and OpenAI's
Responses and Chat Completions, each whole and as server-sent events.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
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


def _pieces(text: str) -> Iterator[str]:
    return (text[n : n + _PIECE] for n in range(0, len(text), _PIECE))


def _texts(content: Any) -> str:
    """A content that is a text, or a list of parts of which some are."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(_texts(part.get("text")) for part in parts if isinstance(part, dict))


def _sse(data: dict[str, Any], event: str | None = None) -> str:
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
        texts = content if isinstance(content, str) else [p for p in parts if p not in results]
        return Said(
            message["role"], _texts(texts), tuple(_texts(part.get("content")) for part in results)
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
                deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"])]
            else:
                empty = block | {"input": {}}
                deltas = [
                    {"type": "input_json_delta", "partial_json": piece}
                    for piece in _pieces(json.dumps(block["input"]))
                ]
            yield self._event("content_block_start", index=index, content_block=empty)
            for delta in deltas:
                yield self._event("content_block_delta", index=index, delta=delta)
            yield self._event("content_block_stop", index=index)
        stop = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
        yield self._event("message_delta", delta=stop, usage={"output_tokens": tokens.out})
        yield self._event("message_stop")

    def _event(self, kind: str, **fields: Any) -> str:
        return _sse({"type": kind, **fields}, kind)

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
        return Said(role, _texts(parts), tuple(json.dumps(one.get("response")) for one in results))

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
        for piece in _pieces(answer.text):
            yield _sse(self._chunk(asked, [{"text": piece}], None))
        yield _sse(self._chunk(asked, self._calls(answer) or [{"text": ""}], tokens))

    def error(self, status: int, message: str) -> dict[str, Any]:
        kinds = {401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED", 404: "NOT_FOUND"}
        kind = kinds.get(status, "INTERNAL")
        return {"error": {"code": status, "message": message, "status": kind}}


class Chat:
    """POST /v1/chat/completions."""

    def read(self, path: str, body: dict[str, Any]) -> Asked:
        tools = [tool.get("function", {}).get("name", "") for tool in body.get("tools", [])]
        said = tuple(self._said(message) for message in body.get("messages", []))
        return Asked(body.get("model", ""), bool(body.get("stream")), tuple(tools), said)

    def _said(self, message: dict[str, Any]) -> Said:
        text = _texts(message.get("content"))
        if message.get("role") == "tool":
            return Said("user", results=(text,))
        return Said(message.get("role", ""), text)

    def _calls(self, answer: Answer) -> list[dict[str, Any]]:
        calls = [
            (c.id, {"name": c.name, "arguments": json.dumps(c.arguments)}) for c in answer.calls
        ]
        return [
            {"index": n, "id": id_, "type": "function", "function": function}
            for n, (id_, function) in enumerate(calls)
        ]

    def _usage(self, tokens: Tokens) -> dict[str, Any]:
        details = {"cached_tokens": tokens.cached}
        total = tokens.into + tokens.out
        counts = {"prompt_tokens": tokens.into, "completion_tokens": tokens.out}
        return counts | {"total_tokens": total, "prompt_tokens_details": details}

    def whole(self, asked: Asked, answer: Answer, tokens: Tokens) -> dict[str, Any]:
        calls = self._calls(answer)
        message = {"role": "assistant", "content": answer.text}
        stop = {"index": 0, "finish_reason": "tool_calls" if calls else "stop"}
        choice = stop | {"message": message | ({"tool_calls": calls} if calls else {})}
        head = {"id": "chat_1", "object": "chat.completion", "model": asked.model}
        return {**head, "choices": [choice], "usage": self._usage(tokens)}

    def events(self, asked: Asked, answer: Answer, tokens: Tokens) -> Iterator[str]:
        calls = self._calls(answer)
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": piece} for piece in _pieces(answer.text)]
        deltas += [{"tool_calls": [call]} for call in calls]
        head = {"id": "chat_1", "object": "chat.completion.chunk", "model": asked.model}
        for delta in deltas:
            choice = {"index": 0, "delta": delta, "finish_reason": None}
            yield _sse(head | {"choices": [choice]})
        stop = "tool_calls" if calls else "stop"
        yield _sse(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": stop}]})
        yield _sse(head | {"choices": [], "usage": self._usage(tokens)})
        yield "data: [DONE]\n\n"

    def error(self, status: int, message: str) -> dict[str, Any]:
        kinds = {401: "invalid_api_key", 429: "rate_limit_exceeded", 404: "model_not_found"}
        kind = kinds.get(status, "server_error")
        return {"error": {"message": message, "type": kind, "code": kind, "param": None}}


class Responses(Chat):
    """POST /v1/responses."""

    def read(self, path: str, body: dict[str, Any]) -> Asked:
        tools = [tool.get("name") or tool.get("type", "") for tool in body.get("tools", [])]
        given = body.get("input", [])
        items = [{"role": "user", "content": given}] if isinstance(given, str) else given
        said = tuple(self._item(item) for item in items)
        return Asked(body.get("model", ""), bool(body.get("stream")), tuple(tools), said)

    def _item(self, item: dict[str, Any]) -> Said:
        if str(item.get("type", "")).endswith("_call_output"):
            output = item.get("output")
            return Said("user", results=(output if isinstance(output, str) else _texts(output),))
        return Said(item.get("role", "assistant"), _texts(item.get("content")))

    def _items(self, answer: Answer) -> Iterable[dict[str, Any]]:
        if answer.text:
            text = {"type": "output_text", "text": answer.text, "annotations": []}
            head = {"type": "message", "id": "item_1", "role": "assistant", "status": "completed"}
            yield {**head, "content": [text]}
        for call in answer.calls:
            named = {"type": "function_call", "id": f"fc_{call.id}", "call_id": call.id}
            arguments = json.dumps(call.arguments)
            yield {**named, "name": call.name, "arguments": arguments, "status": "completed"}

    def whole(self, asked: Asked, answer: Answer, tokens: Tokens) -> dict[str, Any]:
        usage = {
            "input_tokens": tokens.into,
            "input_tokens_details": {"cached_tokens": tokens.cached},
            "output_tokens": tokens.out,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": tokens.into + tokens.out,
        }
        head = {"id": "resp_1", "object": "response", "model": asked.model, "status": "completed"}
        return {**head, "output": list(self._items(answer)), "usage": usage}

    def events(self, asked: Asked, answer: Answer, tokens: Tokens) -> Iterator[str]:
        whole = self.whole(asked, answer, tokens)
        begun = whole | {"status": "in_progress", "output": [], "usage": None}
        yield self._event("response.created", response=begun)
        for index, item in enumerate(whole["output"]):
            at = {"output_index": index, "item_id": item["id"]}
            empty = item | {"status": "in_progress"}
            empty |= {"content": []} if item["type"] == "message" else {"arguments": ""}
            yield self._event("response.output_item.added", output_index=index, item=empty)
            if item["type"] == "message":
                for piece in _pieces(item["content"][0]["text"]):
                    where = at | {"content_index": 0}
                    yield self._event("response.output_text.delta", **where, delta=piece)
            else:
                arguments = item["arguments"]
                for piece in _pieces(arguments):
                    yield self._event("response.function_call_arguments.delta", **at, delta=piece)
                yield self._event(
                    "response.function_call_arguments.done", **at, arguments=arguments
                )
            yield self._event("response.output_item.done", output_index=index, item=item)
        yield self._event("response.completed", response=whole)

    def _event(self, kind: str, **fields: Any) -> str:
        return _sse({"type": kind, **fields}, kind)

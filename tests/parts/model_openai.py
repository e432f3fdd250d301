"""OpenAI's wire formats, as the stub speaks them: Chat Completions and Responses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tests.parts.model_script import Answer, Asked, Said
from tests.parts.model_wire import Tokens, pieces, sse, texts


class Chat:
    """POST /v1/chat/completions."""

    def read(self, path: str, body: dict[str, Any]) -> Asked:
        tools = [tool.get("function", {}).get("name", "") for tool in body.get("tools", [])]
        said = tuple(self._said(message) for message in body.get("messages", []))
        return Asked(body.get("model", ""), bool(body.get("stream")), tuple(tools), said)

    def _said(self, message: dict[str, Any]) -> Said:
        text = texts(message.get("content"))
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
        deltas += [{"content": piece} for piece in pieces(answer.text)]
        deltas += [{"tool_calls": [call]} for call in calls]
        head = {"id": "chat_1", "object": "chat.completion.chunk", "model": asked.model}
        for delta in deltas:
            choice = {"index": 0, "delta": delta, "finish_reason": None}
            yield sse(head | {"choices": [choice]})
        stop = "tool_calls" if calls else "stop"
        yield sse(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": stop}]})
        yield sse(head | {"choices": [], "usage": self._usage(tokens)})
        yield "data: [DONE]\n\n"

    def error(self, status: int, message: str) -> dict[str, Any]:
        kinds = {401: "invalid_api_key", 429: "rate_limit_exceeded", 404: "model_not_found"}
        kind = kinds.get(status, "server_error")
        return {"error": {"message": message, "type": kind, "code": kind, "param": None}}


class Responses(Chat):
    """POST /v1/responses."""

    def read(self, path: str, body: dict[str, Any]) -> Asked:
        given = body.get("input", [])
        items = [{"role": "user", "content": given}] if isinstance(given, str) else given
        more = [one for item in items for one in item.get("tools", [])]
        tools = tuple(self._names([*(body.get("tools") or []), *more]))
        said = tuple(self._item(item) for item in items)
        return Asked(body.get("model", ""), bool(body.get("stream")), tools, said)

    def _names(self, tools: list[dict[str, Any]]) -> Iterator[str]:
        for tool in tools:
            if tool.get("type") == "namespace":
                yield from self._names(tool.get("tools", []))
            else:
                yield tool.get("name") or tool.get("type", "")

    def _item(self, item: dict[str, Any]) -> Said:
        if str(item.get("type", "")).endswith("_call_output"):
            output = item.get("output")
            return Said("user", results=(output if isinstance(output, str) else texts(output),))
        return Said(item.get("role", "assistant"), texts(item.get("content")))

    def _items(self, answer: Answer) -> Iterable[dict[str, Any]]:
        if answer.text:
            text = {"type": "output_text", "text": answer.text, "annotations": []}
            head = {"type": "message", "id": "item_1", "role": "assistant", "status": "completed"}
            yield {**head, "content": [text]}
        for call in answer.calls:
            if call.code is not None:
                named = {"type": "custom_tool_call", "id": f"ct_{call.id}", "call_id": call.id}
                yield {**named, "name": call.name, "input": call.code, "status": "completed"}
                continue
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
                for piece in pieces(item["content"][0]["text"]):
                    where = at | {"content_index": 0}
                    yield self._event("response.output_text.delta", **where, delta=piece)
            elif item["type"] == "function_call":
                arguments = item["arguments"]
                for piece in pieces(arguments):
                    yield self._event("response.function_call_arguments.delta", **at, delta=piece)
                yield self._event(
                    "response.function_call_arguments.done", **at, arguments=arguments
                )
            yield self._event("response.output_item.done", output_index=index, item=item)
        yield self._event("response.completed", response=whole)

    def _event(self, kind: str, **fields: Any) -> str:
        return sse({"type": kind, **fields}, kind)

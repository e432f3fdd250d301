"""`cursor_task`: Cursor's headless agent, which prints one JSON object a line.

Its format: cursor.com/docs/cli/reference/output-format. What a real one was seen to do besides:
it may print no result at all, may never exit after one, and its result joins all that it said
without a space between, so the last message counts.
"""

from __future__ import annotations

from typing import Any

from knify import model
from knify.agents import base, headless, stream, tools

_ARGV = ("-p", "--output-format", "stream-json", "--force", "--trust", "--approve-mcps")
#: The kernel takes no argument of more than 128 KiB.
_LONGEST_PROMPT = 100_000  # bytes
_IN_A_FILE = (
    f"Your task is in the file {base.TURN}/{headless.PROMPT}, which is long. "
    "Read all of it, then do what it says."
)


class Cursor(headless.Headless):
    """The adapter."""

    program = "cursor-agent"

    def prepare(
        self,
        spec: model.ExecutionSpec,
        workspace: base.WorkspaceReader,
        session_id: str | None = None,
    ) -> base.Plan:
        """See Adapter."""
        self._tell(session_id=session_id)
        prompt = spec.prompt or ""
        files = {}
        if len(prompt.encode()) > _LONGEST_PROMPT:
            files[headless.PROMPT] = prompt.encode()
            prompt = _IN_A_FILE
        resume = ("--resume", session_id) if session_id else ()
        chosen = ("--model", spec.model or "auto")
        argv = (self.program, *_ARGV, *chosen, *resume, _positional(prompt))
        title = "Cursor agent executing"
        return base.Plan(argv, dict(spec.env), files, session_id=session_id, title=title)

    def _hear(self, event: dict[str, Any]) -> list[base.Event]:
        kind = event.get("type")
        if kind == "assistant":
            return self._message(stream.said_by(event.get("message")))
        if kind == "tool_call":
            return self._tool_call(event)
        if kind == "system" and event.get("subtype") == "init":
            return self._begin(event.get("session_id"))
        if kind == "result":
            self._result(event)
        return []

    def _tool_call(self, event: dict[str, Any]) -> list[base.Event]:
        name, parameters, result = _tool(event.get("tool_call"))
        id_ = event.get("call_id")
        if not name:
            return []
        if event.get("subtype") == "started":
            return [tools.use(id_, name, parameters)]
        if event.get("subtype") != "completed":
            return []
        success = result.get("success")
        ended = [_ended(id_, result)]
        if name != "write_file" or not isinstance(success, dict):
            return ended
        return ended + self._created(success.get("path") or parameters.get("path"))

    def _result(self, event: dict[str, Any]) -> None:
        joined = stream.text(event.get("result"))
        counts = stream.usage(event.get("usage"))
        if event.get("subtype") == "success" and event.get("is_error", False) is False:
            self._succeeded(joined, usage=counts)
        else:
            self._gave_up(joined or stream.text(event.get("error")), usage=counts)


def _positional(prompt: str) -> str:
    """A prompt that is neither taken for an option nor for a command of the agent's own."""
    return f" {prompt}" if prompt.startswith(("-", "/")) else prompt


def _tool(call: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Our name, arguments and result of a tool call; no name: none."""
    for name, body in call.items() if isinstance(call, dict) else ():
        if not isinstance(body, dict):
            continue
        if name == "function":
            arguments = stream.read(stream.text(body.get("arguments"), stream.LINE)) or {}
            return stream.text(body.get("name"), 200), arguments, _dict(body)
        if name.endswith("ToolCall"):
            short = stream.text(name.removesuffix("ToolCall"), 200)
            return tools.name(tools.CURSOR, short), _dict(body, "args"), _dict(body)
    return "", {}, {}


def _dict(body: dict[str, Any], name: str = "result") -> dict[str, Any]:
    found = body.get(name)
    return found if isinstance(found, dict) else {}


def _ended(id_: Any, result: dict[str, Any]) -> base.Event:
    """How a tool call ended."""
    success = result.get("success")
    if not isinstance(success, dict):
        return tools.result(id_, is_error=True, output=_words(result))
    code = success.get("exitCode")
    if type(code) is not int:
        return tools.result(id_, is_error=False, output=_words(success))
    printed = stream.text(success.get("stdout")) + stream.text(success.get("stderr"))
    return tools.result(id_, is_error=bool(code), output=printed, exit_code=code)


def _words(found: dict[str, Any]) -> str:
    """The one text of a result, or all of it."""
    for name in ("content", "reason", "message", "error"):
        if isinstance(found.get(name), str):
            return stream.text(found[name])
    for name in ("rejected", "error", "failure"):
        if isinstance(found.get(name), dict):
            return f"{name}: {_words(found[name])}"
    return stream.as_json(stream.shown(found))

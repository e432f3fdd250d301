"""`cursor_task`: Cursor's headless agent, which prints one JSON object a line.

Its format: cursor.com/docs/cli/reference/output-format. What a real one was seen to do besides:
it may print no result at all, may never exit after one, and its result joins all that it said
without a space between, so the last message counts.
"""

from __future__ import annotations

from typing import Any

from knify import model
from knify.agents import base, stream

PROGRAM = "cursor-agent"
_ARGV = (PROGRAM, "-p", "--output-format", "stream-json", "--force", "--trust", "--approve-mcps")
#: The kernel takes no argument of more than 128 KiB.
_LONGEST_PROMPT = 100_000  # bytes
_PROMPT_FILE = "prompt.md"
_IN_A_FILE = (
    f"Your task is in the file {base.TURN}/{_PROMPT_FILE}, which is long. "
    "Read all of it, then do what it says."
)
_TOOLS = {
    "write": "write_file",
    "edit": "edit_file",
    "read": "read_file",
    "shell": "run_command",
    "grep": "search",
    "semSearch": "search",
    "glob": "list_files",
    "ls": "list_files",
    "delete": "delete_file",
}
_PARAMETERS = {"fileText": "content"}
_MISSING = (
    f"the image has no program {PROGRAM}: name one that has it in `image`, or let the operator "
    "set KNIFY_AGENTS_IMAGE"
)
_CODES = {
    "timeout": "AGENT_TIMEOUT",
    "hang": "AGENT_TIMEOUT",
    "oom_killed": "AGENT_KILLED",
    "disk_full": "AGENT_KILLED",
    "flood": "AGENT_KILLED",
}


class Cursor:
    """The adapter; all that a taker needs of it is in `said`."""

    longest = stream.LINE

    def __init__(self, said: model.Said) -> None:
        """`said`: what was told before, by this turn's agent."""
        self.said = said
        self._stderr = stream.Tail()
        self._heard = said.text is not None or said.verdict is not None
        self._odd = 0  # lines that are none of its format
        self._code = "AGENT_FAILED"

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
            files[_PROMPT_FILE] = prompt.encode()
            prompt = _IN_A_FILE
        resume = ("--resume", session_id) if session_id else ()
        argv = (*_ARGV, "--model", spec.model or "auto", *resume, _positional(prompt))
        title = "Cursor agent executing"
        return base.Plan(argv, dict(spec.env), files, session_id=session_id, title=title)

    def feed(self, stream_: base.Stream, line: str) -> list[base.Event]:
        """See Adapter."""
        if stream_ == "stderr":
            self._stderr.add(line)
            return [base.progress(stream_, stream.text(line))]
        event = stream.read(line)
        if event is None:
            self._odd += bool(line.strip())
            return []
        self._heard = True
        kind = event.get("type")
        if kind == "assistant":
            return self._message(stream.said_by(event.get("message")))
        if kind == "tool_call":
            return self._tool_call(event)
        if kind == "system" and event.get("subtype") == "init":
            return self._begin(event)
        if kind == "result":
            self._result(event)
        return []

    def own_line(self, stream_: base.Stream, line: str) -> str | None:
        """See Adapter: all lines are the agent's own."""
        return line

    def judge(self, outcome: model.Outcome) -> model.Outcome:
        """See Adapter: a result that says ok, and an exit that does not deny it."""
        said = self.said
        outcome = outcome.evolve(usage=said.usage, cost_usd=said.cost_usd)
        if outcome.kind not in ("exited", "lingered"):
            self._code = _CODES.get(outcome.kind, self._code)
            return outcome
        is_ended_well = outcome.kind == "lingered" or outcome.exit_code == 0
        if said.verdict == "ok" and is_ended_well:
            code = None if outcome.kind == "lingered" else 0
            return outcome.evolve(exit_code=code, error=None, result=said.text)
        self._code, error = self._reason(outcome)
        return outcome.evolve(error=error, result=said.text)

    def end(self, outcome: model.Outcome) -> list[base.Event]:
        """See Adapter."""
        events: list[base.Event] = []
        if self._odd:
            odd = f"{self._odd} lines of the agent's output are not of its format: see the raw ones"
            events.append({"type": "warning", "code": "AGENT_OUTPUT", "message": odd})
        if outcome.error and outcome.kind != "cancelled":
            events.append({"type": "error", "code": self._code, "message": outcome.error})
        return events

    def _reason(self, outcome: model.Outcome) -> tuple[str, str]:
        """A code and words for an end that is no success."""
        said, words = self.said, str(self._stderr)
        if said.verdict == "error":
            return said.code or "AGENT_FAILED", said.error or f"{PROGRAM} failed"
        exited = outcome.error or "exited with code 0"
        if said.verdict == "ok":
            return "AGENT_FAILED", f"{PROGRAM} said that it was done, but {exited}"
        if outcome.exit_code == 127 and not self._heard and "not found" in words:
            return "AGENT_MISSING", _MISSING
        quoted = f": {words}" if words else ""
        code = stream.kind(words, "AGENT_FAILED" if outcome.exit_code else "AGENT_NO_RESULT")
        return code, f"{PROGRAM} {exited} without a result{quoted}"

    def _tell(self, **changes: Any) -> None:
        self.said = self.said.evolve(**changes)

    def _begin(self, event: dict[str, Any]) -> list[base.Event]:
        session, before = event.get("session_id"), self.said.session_id
        if not isinstance(session, str) or not stream.TOKEN.fullmatch(session):
            return []
        self._tell(session_id=session)
        if before in (None, session):
            return []
        new = f"the conversation {before} was not found: this is a new one, {session}"
        return [{"type": "warning", "code": "AGENT_SESSION_NOT_FOUND", "message": new}]

    def _message(self, text: str) -> list[base.Event]:
        """What it says; some versions say it twice."""
        if not text.strip() or text == self.said.text:
            return []
        self._tell(text=text)
        return [{"type": "agent_message", "message": text}]

    def _tool_call(self, event: dict[str, Any]) -> list[base.Event]:
        name, parameters, result = _tool(event.get("tool_call"))
        call = {"id": stream.text(event.get("call_id"), 200)}
        if not name:
            return []
        if event.get("subtype") == "started":
            return [{"type": "tool_use", **call, "tool": name, "parameters": parameters}]
        if event.get("subtype") != "completed":
            return []
        ended: list[base.Event] = [{"type": "tool_result", **call, **_outcome(result)}]
        return ended + self._created(name, parameters, result)

    def _created(
        self, name: str, parameters: dict[str, Any], result: dict[str, Any]
    ) -> list[base.Event]:
        success = result.get("success")
        if name != "write_file" or not isinstance(success, dict):
            return []
        path = stream.text(success.get("path") or parameters.get("path"), 1_000)
        below = stream.below_workspace(path)
        if below is None or below in self.said.files:
            return []
        self.said = stream.with_file(self.said, below)
        return [{"type": "file_created", "path": below}]

    def _result(self, event: dict[str, Any]) -> None:
        joined = stream.text(event.get("result"))
        counts = stream.usage(event.get("usage"))
        if event.get("subtype") == "success" and event.get("is_error", False) is False:
            self._tell(verdict="ok", text=self.said.text or joined, usage=counts, error=None)
            return
        words = joined or stream.text(event.get("error")) or f"{PROGRAM} reported an error"
        self._tell(verdict="error", error=words, code=stream.kind(words), usage=counts)


def _positional(prompt: str) -> str:
    """A prompt that is neither taken for an option nor for a command of the agent's own."""
    return f" {prompt}" if prompt.startswith(("-", "/")) else prompt


def _tool(call: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Name, parameters and result of a tool call, in the words of all agents; no name: none."""
    for name, body in call.items() if isinstance(call, dict) else ():
        if not isinstance(body, dict):
            continue
        if name == "function":
            arguments = stream.read(stream.text(body.get("arguments"), stream.LINE)) or {}
            return stream.text(body.get("name"), 200), stream.shown(arguments), _dict(body)
        if name.endswith("ToolCall"):
            short = stream.text(name.removesuffix("ToolCall"), 200)
            arguments = _dict(body, "args")
            parameters = {_PARAMETERS.get(n, n): v for n, v in arguments.items()}
            parameters.pop("toolCallId", None)
            return _TOOLS.get(short, short), stream.shown(parameters), _dict(body)
    return "", {}, {}


def _dict(body: dict[str, Any], name: str = "result") -> dict[str, Any]:
    found = body.get(name)
    return found if isinstance(found, dict) else {}


def _outcome(result: dict[str, Any]) -> base.Event:
    """How a tool call ended."""
    success = result.get("success")
    if not isinstance(success, dict):
        return {"status": "error", "output": base.clip(_words(result))}
    code = success.get("exitCode")
    if type(code) is not int:
        return {"status": "success", "output": base.clip(_words(success))}
    printed = stream.text(success.get("stdout")) + stream.text(success.get("stderr"))
    status = "error" if code else "success"
    return {"status": status, "exit_code": code, "output": base.clip(printed)}


def _words(found: dict[str, Any]) -> str:
    """The one text of a result, or all of it."""
    for name in ("content", "reason", "message", "error"):
        if isinstance(found.get(name), str):
            return stream.text(found[name])
    for name in ("rejected", "error", "failure"):
        if isinstance(found.get(name), dict):
            return f"{name}: {_words(found[name])}"
    return stream.as_json(stream.shown(found))

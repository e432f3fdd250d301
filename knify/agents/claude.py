"""`claude_task`: Claude Code without a terminal, which prints one JSON object a line.

Its format: code.claude.com/docs/en/headless. What a real one was seen to do besides: a failure of
the API is a result with the subtype `success` and `is_error`; SIGINT makes it exit with 0 and no
result; it tells tools that were denied and succeeds; a prompt that begins with a slash runs one of
its own commands and asks no model; it deletes conversations after 30 days.
"""

from __future__ import annotations

import json
from typing import Any

from knify import model
from knify.agents import base, conversation, headless, models, prompt, stream, tools

_ARGV = ("-p", "--output-format", "stream-json", "--verbose", "--strict-mcp-config")
#: Tunables: a job's own `env` may say otherwise.
_ENV = {
    "IS_SANDBOX": "1",  # else it refuses to skip permissions as root
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_MAX_RETRIES": "4",
}
_SETTINGS, _MCP, _SYSTEM = "settings.json", "mcp.json", "system.md"
_KEPT_DAYS = 365  # longer than any sandbox lives
_RESULTS = {"error_max_turns": "AGENT_MAX_TURNS", "error_max_budget_usd": "AGENT_BUDGET"}


class Claude(headless.Headless):
    """The adapter."""

    program = "claude"

    def prepare(
        self,
        spec: model.ExecutionSpec,
        workspace: base.WorkspaceReader,
        session_id: str | None = None,
    ) -> base.Plan:
        """See Adapter."""
        session = session_id or conversation.fresh()
        self._tell(session_id=session)
        options, files = _options(spec)
        start = _start((self.program, *_ARGV, *options), spec, session_id, session)
        return base.Plan(
            start.argv,
            _ENV | spec.env | models.env("anthropic"),
            {headless.PROMPT: prompt.plain(spec.prompt or "")} | files | start.files,
            stdin=headless.PROMPT,
            session_id=session,
            title="Claude agent executing",
        )

    def _hear(self, event: dict[str, Any]) -> list[base.Event]:
        kind = event.get("type")
        if kind == "assistant" and not event.get("error"):  # those the result tells, too
            return [told for part in _content(event) for told in self._said(part)]
        if kind == "user":
            return self._answered(event)
        if kind == "system":
            return self._system(event)
        if kind == "result":
            self._result(event)
        return []

    def _said(self, part: dict[str, Any]) -> list[base.Event]:
        if part.get("type") == "text":
            return self._message(stream.text(part.get("text")))
        if part.get("type") == "tool_use":
            own = stream.text(part.get("name"), 200)
            return [tools.use(part.get("id"), tools.name(tools.CLAUDE, own), part.get("input"))]
        return []

    def _answered(self, event: dict[str, Any]) -> list[base.Event]:
        """What tools answered; one that created a file tells so beside it."""
        events: list[base.Event] = []
        for part in _content(event):
            if part.get("type") == "tool_result":
                output, is_error = _output(part.get("content")), part.get("is_error") is True
                id_ = part.get("tool_use_id")
                events.append(tools.result(id_, is_error=is_error, output=output))
        told = event.get("tool_use_result")
        if isinstance(told, dict) and told.get("type") == "create":
            return events + self._created(told.get("filePath"))
        return events

    def _system(self, event: dict[str, Any]) -> list[base.Event]:
        kind = event.get("subtype")
        if kind == "init":
            return self._begin(event.get("session_id")) + self._servers(event.get("mcp_servers"))
        if kind == "api_retry":
            return [self._warning(_retry(event), stream.status(event.get("error_status")))]
        if kind == "permission_denied":
            return [self._warning(stream.text(event.get("message")), "AGENT_TOOL_DENIED")]
        return []

    def _servers(self, servers: Any) -> list[base.Event]:
        """Warnings of MCP servers that did not start: the agent goes on without their tools."""
        found = servers if isinstance(servers, list) else []
        names = [one.get("name") for one in found if _is_broken(one)]
        told = [f"the MCP server {stream.text(name, 100)} did not start" for name in names]
        return [self._warning(words, "AGENT_MCP") for words in told]

    def _result(self, event: dict[str, Any]) -> None:
        told = {"usage": _usage(event.get("usage")), "cost_usd": _cost(event)}
        subtype = stream.text(event.get("subtype"), 100)
        if subtype == "success" and event.get("is_error") is False:
            self._succeeded(stream.text(event.get("result")), **told)
            return
        words = stream.text(event.get("result")) or _joined(event.get("errors"))
        code = _RESULTS.get(subtype)
        if code is None and type(event.get("api_error_status")) is int:
            code = stream.status(event["api_error_status"])
        self._gave_up(words or subtype, code, **told)


def _options(spec: model.ExecutionSpec) -> tuple[tuple[str, ...], dict[str, bytes]]:
    """Options of the command line, and the files that they name."""
    files = {_SETTINGS: json.dumps({"cleanupPeriodDays": _KEPT_DAYS}).encode()}
    options = ("--settings", f"{base.TURN}/{_SETTINGS}", *_permissions(spec.allowed_tools))
    if spec.model:
        options += ("--model", spec.model)
    if spec.max_turns:
        options += ("--max-turns", str(spec.max_turns))
    if spec.mcp_config:
        files[_MCP] = json.dumps(spec.mcp_config).encode()
        options += ("--mcp-config", f"{base.TURN}/{_MCP}")
    if spec.system_prompt:
        files[_SYSTEM] = spec.system_prompt.encode()
        options += ("--append-system-prompt-file", f"{base.TURN}/{_SYSTEM}")
        options += ("--system-prompt-snapshot", "off")  # else the first turn's counts for ever
    return options, files


def _permissions(allowed: tuple[str, ...]) -> tuple[str, ...]:
    """All may be done, or only what the job allows: no other tool is even offered."""
    if not allowed:
        return ("--permission-mode", "bypassPermissions")
    named = tools.names(tools.CLAUDE, allowed)
    own = dict.fromkeys(one.partition("(")[0] for one in named if not one.startswith("mcp__"))
    return (
        *("--permission-mode", "dontAsk", f"--allowedTools={','.join(named)}"),
        f"--tools={','.join(own)}",
    )


def _start(
    argv: tuple[str, ...], spec: model.ExecutionSpec, before: str | None, session: str
) -> conversation.Start:
    begin, resume = (*argv, "--session-id", session), (*argv, "--resume", session)
    if before is None:
        return conversation.Start(begin)
    if before == spec.session_id:
        return conversation.Start(resume)
    return conversation.inherited(f".claude/projects/*/{session}.jsonl", resume, begin)


def _content(event: dict[str, Any]) -> list[dict[str, Any]]:
    message = event.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def _output(content: Any) -> str:
    """What a tool answered: a text, or a list of which some parts are."""
    return stream.text(content) or stream.said_by({"content": content})


def _joined(errors: Any) -> str:
    return "; ".join(stream.text(one, 1_000) for one in errors) if isinstance(errors, list) else ""


def _is_broken(server: Any) -> bool:
    return isinstance(server, dict) and server.get("status") == "failed"


def _retry(event: dict[str, Any]) -> str:
    counts = (event.get("attempt"), event.get("max_retries"))
    attempt = " of ".join(str(n)[:9] for n in counts if type(n) is int)
    why = stream.text(event.get("error"), 500) or "the model did not answer"
    return f"retry {attempt}: {why}"


def _usage(value: Any) -> dict[str, int] | None:
    """What went in includes what came from or went into its cache, as with other agents."""
    counts = stream.usage(value) or {}
    cached = counts.get("cache_read_input_tokens", 0)
    written = counts.get("cache_creation_input_tokens", 0)
    if "input_tokens" not in counts:
        return None
    into = counts["input_tokens"] + cached + written
    return stream.tokens(into, counts.get("output_tokens"), cached)


def _cost(event: dict[str, Any]) -> float | None:
    """Of this run: `total_cost_usd` is that of the whole conversation."""
    models_ = event.get("model_usage_since_last_result")
    parts = models_.values() if isinstance(models_, dict) else ()
    costs = [part.get("costUSD") for part in parts if isinstance(part, dict)]
    known = [cost for cost in costs if isinstance(cost, int | float) and 0 <= cost < 10**6]
    return round(sum(known), 6) if known else None

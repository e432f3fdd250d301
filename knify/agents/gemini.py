"""`gemini_task`: Gemini CLI without a terminal, which prints one JSON object a line.

Its format: geminicli.com/docs/cli/headless. What a real one was seen to do besides: it says its
messages in parts and no final one; SIGTERM makes it exit with 0 and no result; an HTTP status of
its model comes as exit code modulo 256; without `security.auth` in its settings it takes no other
address than Google's; it is silent while it tries again.
"""

from __future__ import annotations

import json
from typing import Any, Final

from knify import model
from knify.agents import base, conversation, headless, models, prompt, stream, tools

_ARGV = ("--output-format", "stream-json", "--approval-mode", "yolo", "--skip-trust")
#: Tunables: a job's own `env` may say otherwise.
_ENV = {
    "GEMINI_CLI_NO_RELAUNCH": "true",  # its parent would ignore SIGTERM
    "GEMINI_CLI_TRUST_WORKSPACE": "true",
}
_SETTINGS, _CONTEXT = ".gemini/settings.json", "KNIFY.md"
_EXITS: Final[dict[int, str]] = {
    status % 256: stream.status(status) for status in (401, 403, 429, 500, 502, 503, 504)
} | {41: "AGENT_AUTH", 53: "AGENT_MAX_TURNS"}
_NO_SESSION = 42  # or an input that it does not take
#: It exits without waiting for what it printed, and so may lose its result behind a long line (seen
#: with a prompt of 300 KB, which it repeats). This makes it wait, but not the programs it starts.
_WHOLE = "whole.cjs"
_WHOLE_OUTPUT = b"""\
delete process.env.NODE_OPTIONS;
for (const stream of [process.stdout, process.stderr]) stream._handle?.setBlocking?.(true);
"""


class Gemini(headless.Headless):
    """The adapter."""

    program = "gemini"

    def prepare(
        self,
        spec: model.ExecutionSpec,
        workspace: base.WorkspaceReader,
        session_id: str | None = None,
    ) -> base.Plan:
        """See Adapter."""
        session = session_id or conversation.fresh()
        self._tell(session_id=session)
        chosen = ("--model", spec.model) if spec.model else ()
        start = _start((self.program, *_ARGV, *chosen), spec, session_id, session)
        home = {_SETTINGS: json.dumps(_settings(spec)).encode()}
        if spec.system_prompt:
            home[f".gemini/{_CONTEXT}"] = spec.system_prompt.encode()
        return base.Plan(
            start.argv,
            _ENV
            | {"NODE_OPTIONS": f"--require={base.TURN}/{_WHOLE}"}
            | spec.env
            | models.env("google"),
            {headless.PROMPT: prompt.plain(spec.prompt or ""), _WHOLE: _WHOLE_OUTPUT} | start.files,
            home,
            stdin=headless.PROMPT,
            session_id=session,
            title="Gemini agent executing",
        )

    def end(self, outcome: model.Outcome) -> list[base.Event]:
        """See Adapter; a message that was being told is told as far as it came."""
        return self._whole() + super().end(outcome)

    def judge(self, outcome: model.Outcome) -> model.Outcome:
        """See Adapter; its result says nothing of what it said last."""
        judged = super().judge(outcome)
        last = (self.said.begun or "").strip() and self.said.begun
        return judged.evolve(result=last or judged.result) if judged.result or last else judged

    def _hear(self, event: dict[str, Any]) -> list[base.Event]:
        kind = event.get("type")
        if kind == "message" and event.get("role") == "assistant":
            return self._part(event)
        return self._whole() + self._other(event)

    def _other(self, event: dict[str, Any]) -> list[base.Event]:
        kind = event.get("type")
        if kind == "init":
            return self._begin(event.get("session_id"))
        if kind == "tool_use":
            own = stream.text(event.get("tool_name"), 200)
            called = tools.name(tools.GEMINI, own)
            return [tools.use(event.get("tool_id"), called, event.get("parameters"))]
        if kind == "tool_result":
            return [_answered(event)]
        if kind == "error":
            return [self._warning(stream.text(event.get("message")))]
        if kind == "result":
            self._result(event)
        return []

    def _part(self, event: dict[str, Any]) -> list[base.Event]:
        """A message comes whole, or in parts that end with whatever else comes."""
        text = stream.text(event.get("content"))
        if event.get("delta") is not True:
            return self._whole() + self._message(text)
        self._tell(begun=stream.text((self.said.begun or "") + text))
        return []

    def _whole(self) -> list[base.Event]:
        """The message that was being told."""
        text = self.said.begun
        if text is None:
            return []
        self._tell(begun=None)
        return self._message(text)

    def _result(self, event: dict[str, Any]) -> None:
        counts = _usage(event.get("stats"))
        if event.get("status") == "success":
            self._succeeded("", usage=counts)
            return
        error = event.get("error")
        told = error if isinstance(error, dict) else {}
        words = stream.text(told.get("message")) or stream.text(told.get("type"))
        self._gave_up(words, usage=counts)

    def _code_of(self, exit_code: int | None) -> str | None:
        if exit_code == _NO_SESSION and "session" in str(self._stderr).lower():
            return "AGENT_SESSION_NOT_FOUND"
        return _EXITS.get(exit_code) if exit_code else None


def _start(
    argv: tuple[str, ...], spec: model.ExecutionSpec, before: str | None, session: str
) -> conversation.Start:
    begin, resume = (*argv, "--session-id", session), (*argv, "--resume", session)
    if before is None:
        return conversation.Start(begin)
    if before == spec.session_id:
        return conversation.Start(resume)
    kept = f".gemini/tmp/*/chats/session-*-{session[:8]}.json*"
    return conversation.inherited(kept, resume, begin)


def _settings(spec: model.ExecutionSpec) -> dict[str, Any]:
    """Its settings file: what is mandatory, and what it takes nowhere else."""
    settings: dict[str, Any] = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "general": {
            "maxAttempts": 3,
            "enableAutoUpdate": False,
            "enableAutoUpdateNotification": False,
            "sessionRetention": {"enabled": True, "maxAge": "365d"},
        },
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
    }
    if spec.max_turns:
        settings["model"] = {"maxSessionTurns": spec.max_turns}
    if spec.mcp_config:
        settings["mcpServers"] = spec.mcp_config.get("mcpServers", {})
    if spec.system_prompt:
        settings["context"] = {"fileName": ["GEMINI.md", _CONTEXT]}
    if spec.allowed_tools:
        named = tools.names(tools.GEMINI, spec.allowed_tools)
        settings["tools"] = {"core": [one for one in named if not one.startswith("mcp_")]}
    return settings


def _answered(event: dict[str, Any]) -> base.Event:
    error = event.get("error")
    words = stream.text(error.get("message")) if isinstance(error, dict) else ""
    output = stream.text(event.get("output")) or words
    is_error = event.get("status") != "success"
    return tools.result(event.get("tool_id"), is_error=is_error, output=output)


def _usage(stats: Any) -> dict[str, int] | None:
    counts = stats if isinstance(stats, dict) else {}
    return stream.tokens(*(counts.get(n) for n in ("input_tokens", "output_tokens", "cached")))

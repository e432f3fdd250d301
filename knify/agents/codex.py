"""`codex_task`: Codex without a terminal (`codex exec --json`): one JSON object a line.

Its format: developers.openai.com/codex/noninteractive. What a real one was seen to do besides: of a
model that it does not know it warns by an item of type `error` and goes on; a turn that failed is
told by `turn.failed` and by `error` before it; each try to reach the model again is an `error`,
too. It chooses the conversation's id itself.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from knify import model
from knify.agents import base, conversation, headless, models, prompt, stream, tools

_ARGV = ("--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")
_PROVIDER = "knify"
_LONGEST = 120 * 1024  # bytes of a value; Linux takes 128 KiB for one argument
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}").fullmatch
_RETRIES = 2  # of a request; and, of these, of a stream
#: Its items that are tool calls, by our names.
_TOOLS: Final = {
    "command_execution": "run_command",
    "file_change": "edit_file",
    "web_search": "web_search",
}


class Codex(headless.Headless):
    """The adapter."""

    program = "codex"

    def prepare(
        self,
        spec: model.ExecutionSpec,
        workspace: base.WorkspaceReader,
        session_id: str | None = None,
    ) -> base.Plan:
        """See Adapter."""
        self._tell(session_id=session_id)
        text = _prompt(spec, session_id)
        start = _start(_options(spec, prompt.images(text, workspace)), spec, session_id)
        return base.Plan(
            start.argv,
            spec.env | models.env("openai"),
            {headless.PROMPT: prompt.plain(text)} | start.files,
            stdin=headless.PROMPT,
            session_id=session_id,
            title="Codex agent executing",
        )

    def _hear(self, event: dict[str, Any]) -> list[base.Event]:
        kind, item = event.get("type"), event.get("item")
        if kind == "thread.started":
            return self._begin(event.get("thread_id"))
        if kind == "item.started" and isinstance(item, dict):
            return self._began(item)
        if kind == "item.completed" and isinstance(item, dict):
            return self._completed(item)
        if kind == "turn.completed":
            self._succeeded("")  # its counts are those of the whole conversation
        if kind == "turn.failed":
            self._gave_up(_words(event.get("error")))
        if kind == "error":
            return [self._warning(stream.text(event.get("message")))]
        return []

    def _began(self, item: dict[str, Any]) -> list[base.Event]:
        called = _tool(item)
        return [tools.use(item.get("id"), *called)] if called else []

    def _completed(self, item: dict[str, Any]) -> list[base.Event]:
        kind = item.get("type")
        if kind == "agent_message":
            return self._message(stream.text(item.get("text")))
        if kind == "error":
            return [self._warning(stream.text(item.get("message")))]
        if kind == "file_change":
            return self._changed(item)
        return [_ended(item)] if _tool(item) else []

    def _changed(self, item: dict[str, Any]) -> list[base.Event]:
        """Files that it changed; told when done only, by some versions."""
        changes = item.get("changes")
        parts = [one for one in changes if isinstance(one, dict)] if type(changes) is list else []
        made = [one.get("path") for one in parts if one.get("kind") == "add"]
        is_done = item.get("status") in (None, "completed")
        told = [event for path in made for event in self._created(path)] if is_done else []
        return [_ended(item), *told]


def _prompt(spec: model.ExecutionSpec, before: str | None) -> str:
    """It keeps the system prompt with which a conversation began: a later one goes before this.

    So does one that is too long for its only other place, an argument.
    """
    apart = spec.system_prompt if before or not _instructions(spec) else None
    return "\n\n".join(part for part in (apart, spec.prompt) if part)


def _instructions(spec: model.ExecutionSpec) -> str | None:
    """The system prompt, where it fits into an argument."""
    text = spec.system_prompt
    return text if text and len(_toml(text).encode()) <= _LONGEST else None


def _options(spec: model.ExecutionSpec, images: tuple[str, ...]) -> tuple[str, ...]:
    """All that stands behind `codex exec`; values of `-c` are TOML, of which JSON's texts are."""
    openai = models.PROVIDERS["openai"]
    settings: dict[str, Any] = {
        "model_provider": _PROVIDER,
        f"model_providers.{_PROVIDER}.name": "Knify",
        f"model_providers.{_PROVIDER}.base_url": openai.base_url,
        f"model_providers.{_PROVIDER}.env_key": openai.key,
        f"model_providers.{_PROVIDER}.wire_api": "responses",
        f"model_providers.{_PROVIDER}.request_max_retries": _RETRIES,
        f"model_providers.{_PROVIDER}.stream_max_retries": _RETRIES,
        "check_for_update_on_startup": False,
        "analytics.enabled": False,
    }
    if instructions := _instructions(spec):
        settings["developer_instructions"] = instructions
    for name, server in (spec.mcp_config or {}).get("mcpServers", {}).items():
        settings[f"mcp_servers.{name}"] = _server(server)
    chosen = ("--model", spec.model) if spec.model else ()
    pairs = (word for n, v in settings.items() for word in ("-c", f"{n}={_toml(v)}"))
    shown = (word for path in images for word in ("--image", f"{base.WORKSPACE}/{path}"))
    return (*_ARGV, *chosen, *pairs, *shown)


def _server(given: dict[str, Any]) -> dict[str, Any]:
    """A server of tools as its settings have one.

    It replaces no `${NAME}`, but takes variables by name: what is just that becomes one.
    """
    known = {key: given[key] for key in ("command", "args", "url") if key in given}
    env, headers = given.get("env", {}), given.get("headers", {})
    named = {name: found[1] for name, text in headers.items() if (found := _VARIABLE(text))}
    passed = [name for name, text in env.items() if (f := _VARIABLE(text)) and f[1] == name]
    parts = {
        "env": {name: text for name, text in env.items() if name not in passed},
        "env_vars": passed,
        "http_headers": {name: text for name, text in headers.items() if name not in named},
        "env_http_headers": named,
    }
    return known | {name: part for name, part in parts.items() if part}


def _toml(value: Any) -> str:
    """A value as TOML in one line; its texts are JSON's, none as a pair of surrogates."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(n)} = {_toml(v)}" for n, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _start(
    options: tuple[str, ...], spec: model.ExecutionSpec, before: str | None
) -> conversation.Start:
    begin = (Codex.program, "exec", *options, "-")
    if before is None:
        return conversation.Start(begin)
    resume = (Codex.program, "exec", "resume", *options, before, "-")
    if before == spec.session_id:
        return conversation.Start(resume)
    return conversation.inherited(f".codex/sessions/*/*/*/*-{before}.jsonl", resume, begin)


def _tool(item: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Our name for a tool call, and its arguments; None: it is none."""
    kind = stream.text(item.get("type"), 100)
    if kind == "mcp_tool_call":
        name = ".".join(stream.text(item.get(part), 100) for part in ("server", "tool"))
        given = item.get("arguments")
        return name, given if isinstance(given, dict) else {}
    if kind not in _TOOLS:
        return None
    given = {name: item[name] for name in ("command", "changes", "query") if name in item}
    return _TOOLS[kind], given


def _ended(item: dict[str, Any]) -> base.Event:
    code, error = item.get("exit_code"), item.get("error")
    output = stream.text(item.get("aggregated_output")) or _words(error)
    result = item.get("result")
    if not output and isinstance(result, dict):
        output = stream.said_by(result)
    is_error = item.get("status") in ("failed", "declined") or bool(error)
    return tools.result(item.get("id"), is_error=is_error, output=output, exit_code=code)


def _words(error: Any) -> str:
    return stream.text(error.get("message")) if isinstance(error, dict) else stream.text(error)

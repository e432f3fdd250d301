"""What a job may tell its agent besides the prompt: checked here, rendered by each adapter.

All raise BadRequest whose detail names the field.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any, Final

from knify import fields

MAX_TOOLS: Final = 200
MAX_TURNS: Final = 10_000
MAX_COST: Final = 1_000_000  # dollars
MAX_SYSTEM: Final = 64 * 1024  # characters
MAX_MCP: Final = 32 * 1024  # characters as JSON: an agent may take it as one argument
MAX_SERVERS: Final = 50
TOOL: Final = r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}(?:\([^\x00-\x1f(),]{0,500}\))?"
SERVER: Final = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
_TOOL, _SERVER = re.compile(TOOL), re.compile(SERVER)
_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_LOCAL: Final[dict[str, type[Any]]] = {"type": str, "command": str, "args": list, "env": dict}
_REMOTE: Final[dict[str, type[Any]]] = {"type": str, "url": str, "headers": dict}


def of(request: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `model.ExecutionSpec` that a request's options are."""
    return {
        "allowed_tools": tools(request.get("allowed_tools")),
        "mcp_config": mcp(request.get("mcp_config")),
        "max_turns": turns(request.get("max_turns")),
        "system_prompt": system(request.get("system_prompt")),
        "max_tokens": tokens(request.get("max_tokens")),
        "max_cost_usd": cost(request.get("max_cost_usd")),
    }


def tools(wanted: list[str] | None) -> tuple[str, ...]:
    """Names of tools, ours or the agent's own; some agents take `Bash(git *)`."""
    if wanted is None:
        return ()
    if not 0 < len(wanted) <= MAX_TOOLS:
        raise fields.bad("allowed_tools", f"allowed_tools names 1 to {MAX_TOOLS} tools")
    for n, one in enumerate(wanted):
        if not _TOOL.fullmatch(one):
            raise fields.bad(
                f"allowed_tools.{n}", "a tool is a name such as read_file or Bash(git *)"
            )
    return tuple(dict.fromkeys(wanted))


def turns(most: int | None) -> int | None:
    """How many answers of its model an agent may ask for."""
    if most is not None and not 0 < most <= MAX_TURNS:
        raise fields.bad("max_turns", f"max_turns must be between 1 and {MAX_TURNS}")
    return most


def tokens(most: int | None) -> int | None:
    """All tokens of all model calls together, in and out."""
    if most is not None and not 0 < most < 2**53:
        raise fields.bad("max_tokens", "max_tokens must be 1 or more")
    return most


def cost(most: float | None) -> float | None:
    """US dollars, of models that have a price here."""
    if most is not None and not 0 < most <= MAX_COST:
        raise fields.bad("max_cost_usd", f"max_cost_usd must be more than 0, {MAX_COST:,} at most")
    return None if most is None else float(most)


def system(text: str | None) -> str | None:
    """What is put behind the agent's own system prompt."""
    if text is not None and len(text) > MAX_SYSTEM:
        raise fields.bad("system_prompt", f"system_prompt is longer than {MAX_SYSTEM} characters")
    if text is not None and "\0" in text:
        raise fields.bad("system_prompt", "system_prompt must not hold NUL characters")
    return text if text and text.strip() else None


def mcp(config: dict[str, Any] | None) -> dict[str, Any] | None:
    """Servers as Claude's files describe them: `{"mcpServers": {name: {command…} or {url…}}}`."""
    if config is None:
        return None
    servers = config.get("mcpServers")
    if set(config) != {"mcpServers"} or not isinstance(servers, dict):
        raise fields.bad("mcp_config", 'mcp_config is {"mcpServers": {NAME: {"command": …}}}')
    if len(servers) > MAX_SERVERS or len(json.dumps(config)) > MAX_MCP:
        raise fields.bad("mcp_config", f"mcp_config holds more than {MAX_MCP} characters")
    for name, server in servers.items():
        _check_server(name, server)
    return config if servers else None


def _check_server(name: str, server: Any) -> None:
    field = f"mcp_config.mcpServers.{name[:64]}"
    if not _SERVER.fullmatch(name):
        raise fields.bad(field, "a server's name has letters, digits, _ and - only")
    if not isinstance(server, dict) or ("command" in server) == ("url" in server):
        raise fields.bad(field, "a server has either a command or a url")
    known = _LOCAL if "command" in server else _REMOTE
    for key, value in server.items():
        kind = known.get(key)
        if kind is None:
            raise fields.bad(f"{field}.{key[:64]}", f"known are {', '.join(sorted(known))}")
        if not isinstance(value, kind) or not all(isinstance(one, str) for one in _texts(value)):
            raise fields.bad(f"{field}.{key}", "must be text, or a list or object of texts")
        if any("\0" in one for one in _texts(value)):
            raise fields.bad(f"{field}.{key}", "must not hold NUL characters")


def _texts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else [value]


def session(session_id: str | None, *, is_uuid: bool) -> str | None:
    """A conversation's id; some agents have UUIDs only."""
    if session_id is None:
        return None
    if not _SESSION.fullmatch(session_id):
        raise fields.bad("session_id", "a session_id has 1 to 128 letters, digits and ._:- only")
    try:
        return str(uuid.UUID(session_id)) if is_uuid else session_id
    except ValueError:
        raise fields.bad("session_id", "the session_id of this agent is a UUID") from None

"""What the page of a job says around its output: what it is, what may be done, its other turns."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import flask

from api.console import blueprint, shown
from knify import kinds, model, spec
from knify.core import Core
from knify.lifecycle import SandboxState
from knify.services import jobs

#: What a turn can be whatever its sandbox was begun with.
_TURNS: Final = (
    "claude_task", "cursor_task", "codex_task", "gemini_task", "runbook_task", "command_task",
)  # fmt: skip
_TURNS_SHOWN: Final = 100
_NOT_AGAIN: Final = frozenset({"prompt", "command", "session_id", *jobs.FIRST_TURN_ONLY})
_GONE: Final = {
    SandboxState.DELETED: "Its sandbox was deleted: run the job anew instead.",
    SandboxState.LOST: "Its sandbox is lost: run the job anew instead.",
}


@dataclass(frozen=True, slots=True)
class Continuing:
    """The box in which one goes on: what can be chosen, what was typed, and what is in the way."""

    types: tuple[str, ...]
    chosen: str
    text: str = ""
    problem: str = ""
    reason: str = ""  # why there is none


def speaks(x: model.Execution) -> bool:
    """Whether there is a conversation, and not only lines."""
    return x.spec.job_type != "command_task"


def is_agent(x: model.Execution) -> bool:
    """Whether an agent is at work."""
    return spec.is_agent(x.spec.actor)


def curl(x: model.Execution) -> str:
    """A command that submits the same again; its key comes from the environment."""
    wanted = {name: value for name, value in x.request.items() if name not in kinds.OF_TASKS}
    body = {"spec": wanted} | ({"name": x.name} if x.name else {})
    path = f"/jobs/{x.parent_id}/continue" if x.parent_id else "/jobs"
    url = flask.request.host_url.rstrip("/") + path
    return (
        f"curl -X POST {shlex.quote(url)} \\\n"
        '  -H "Authorization: Bearer $KNIFY_API_KEY" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        f"  --data-raw {shlex.quote(json.dumps(body, ensure_ascii=False))}"
    )


def continuing(
    x: model.Execution, sandbox: model.Sandbox | None, **typed: str
) -> Continuing:  # fmt: skip
    """The box of this job."""
    own = x.spec.job_type
    types = _TURNS if own in _TURNS or own == "user_exam" else (own, *_TURNS)
    default = own if own in types else "claude_task"
    chosen = typed.get("job_type") or default
    return Continuing(
        types,
        chosen if chosen in types else default,
        typed.get("text", ""),
        typed.get("problem", ""),
        _in_the_way(x, sandbox),
    )


def _in_the_way(x: model.Execution, sandbox: model.Sandbox | None) -> str:
    if not blueprint.may("write"):
        return "This key may only read: continuing needs one with the scope write."
    if x.opened_by is not None:
        return "This is a shell: open another one to go on."
    if sandbox is None:
        return "Its sandbox has expired: run the job anew instead."
    return _GONE.get(sandbox.state, "")


def request_of_turn(x: model.Execution, job_type: str, text: str) -> dict[str, Any]:
    """The spec of the next turn: with this job's settings, as far as they belong to the type."""
    same = job_type == x.spec.job_type
    known = kinds.JOB_TYPES[job_type].known if same else kinds.COMMON
    kept: Mapping[str, Any] = {
        name: value for name, value in x.request.items() if name in known - _NOT_AGAIN
    }
    asked = "command" if job_type == "command_task" else "prompt"
    return {**kept, "job_type": job_type, asked: text}


def turns(core: Core, x: model.Execution) -> list[model.Execution]:
    """The newest jobs of its sandbox, oldest first, and this one; just this one: none."""
    if x.sandbox_id is None:
        return []
    names = core.store.lineages.jobs(x.sandbox_id, most=_TURNS_SHOWN)
    there = [one for one in core.store.listing.records(names) if one.tenant == x.tenant]
    found = {one.id: one for one in there} | {x.id: x}
    return sorted(found.values(), key=lambda one: one.created_at) if len(found) > 1 else []


def usage(x: model.Execution) -> list[tuple[str, str]]:
    """Tokens and cost, by what they are called."""
    names = {
        "input_tokens": "Input tokens", "output_tokens": "Output tokens",
        "cached_tokens": "From cache", "cache_read_input_tokens": "From cache",
        "cache_creation_input_tokens": "Into cache", "model_calls": "Model calls",
        "calls": "Model calls", "requests": "Model calls", "total_tokens": "All tokens",
    }  # fmt: skip
    found = [
        (names.get(name, name.replace("_", " ").capitalize()), shown.count(value))
        for name, value in (x.usage or {}).items()
        if name != "cost_usd"
    ]
    price = (x.usage or {}).get("cost_usd")
    found += [("Cost", shown.cost(price))] if price is not None else []
    return found + ([("Tool calls", shown.count(x.tool_calls))] if x.tool_calls else [])


def facts(x: model.Execution, sandbox: model.Sandbox | None) -> list[tuple[str, str]]:
    """What it is and what it may take."""
    s, r = x.spec, x.spec.resources
    hosts = f", and {', '.join(s.allowed_hosts)}" if s.allowed_hosts else ""
    limits = [f"{r.cpus:g} cores", shown.size(r.memory), f"{shown.size(r.disk)} of files"]
    budget = [f"{shown.count(s.max_tokens)} tokens"] if s.max_tokens else []
    budget += [shown.cost(s.max_cost_usd)] if s.max_cost_usd else []
    rows = [
        ("Type", shown.type_name(s.job_type) + (f", {s.agent}" if s.agent else "")),
        ("Model", s.model or ""),
        ("Image", (sandbox.image if sandbox else s.image) or ""),
        ("Digest", x.image_digest or ""),
        ("Node", x.node or ""),
        ("Workspace", str(x.request.get("workspace_path", ""))),
        ("Repository", s.repository.url if s.repository else ""),
        ("Network", s.network_mode + hosts),
        ("Limits", ", ".join(limits)),
        ("Time limit", shown.duration(s.timeout)),
        ("Budget", ", ".join(budget)),
        ("Turns at most", shown.count(s.max_turns) if s.max_turns else ""),
        ("Priority", str(s.priority) if s.priority else ""),
        ("Exit code", "" if x.exit_code is None else str(x.exit_code)),
        ("Conversation", x.session_id or ""),
    ]
    return [(name, value) for name, value in rows if value]

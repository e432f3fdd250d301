"""The types of jobs: one table of the fields of each, and of what each needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: What the gateway has for jobs of some types, where the operator has it.
BROWSER: Final = "browser"
DATABASES: Final = "databases"
BROWSER_URL: Final = "BROWSERLESS_URL"  # the operator's with its token, in a sandbox without


@dataclass(frozen=True, slots=True)
class JobType:
    """What one job type needs and may have besides what all have."""

    required: frozenset[str]
    optional: frozenset[str] = frozenset()
    later: frozenset[str] = frozenset()  # belong to it, but this version cannot do them
    is_agent: bool = False  # it has conversations
    image: str | None = None  # the recipe of the image that it gets unless it names one
    workspace: str | None = None  # that it starts from unless it names one
    credential: str | None = None  # the operator's variable that its agent signs in with
    provider: str | None = None  # whose models it asks through the gateway (`agents/models.py`)
    has_uuids: bool = False  # its agent's conversations have no other ids
    services: tuple[str, ...] = ()  # that the gateway has for it, where the operator has them
    led: frozenset[str] = frozenset()  # fields of the agent that `agent` may bring along
    nobody: str = ""  # what `agent` says for none

    @property
    def known(self) -> frozenset[str]:
        """The fields of this type that this version can do."""
        return COMMON | self.required | self.optional

    @property
    def fields(self) -> frozenset[str]:
        """All fields that belong to this type."""
        return self.known | self.later


_BEHIND_THE_GATEWAY: Final = frozenset(
    {"model", "session_id", "mcp_config", "system_prompt", "max_tokens", "max_cost_usd"}
)


def _vendor(provider: str, *more: str) -> JobType:
    """An agent whose models are behind the gateway."""
    return JobType(
        required=frozenset({"prompt"}),
        optional=_BEHIND_THE_GATEWAY | frozenset(more),
        is_agent=True,
        image="agents",
        provider=provider,
        has_uuids=True,
    )


#: The table: which field belongs to which type. First, those that belong to all.
COMMON: Final = frozenset(
    {
        "job_type",
        "workspace_path",
        "image",
        "env",
        "metadata",
        "timeout",
        "hang_timeout",
        "network_mode",
        "allowed_hosts",
        "cpus",
        "memory",
        "disk",
        "artifact_patterns",
        "priority",
        "secrets",
    }
)
#: Fields of any type that the Jobs API does not show: a task's manifest has them.
OF_TASKS: Final = frozenset(
    {
        *("repository", "profile", "stage_timeout", "provision_timeout", "failure_action"),
        *("parent_id", "children"),
    }
)
_AGENTS_LATER: Final = frozenset(
    {"allowed_tools", "mcp_config", "max_turns", "system_prompt", "max_tokens", "max_cost_usd"}
)
#: What belongs to the agent that follows a job of another type, as far as that agent has it.
AGENTS: Final = _AGENTS_LATER | {"model"}
JOB_TYPES: Final[dict[str, JobType]] = {
    "command_task": JobType(required=frozenset({"command"})),
    "runbook_task": JobType(required=frozenset({"prompt"})),
    "cursor_task": JobType(
        required=frozenset({"prompt"}),
        optional=frozenset({"model", "session_id"}),
        later=_AGENTS_LATER,
        is_agent=True,
        image="agents",
        credential="CURSOR_API_KEY",
    ),
    "claude_task": _vendor("anthropic", "allowed_tools", "max_turns"),
    "gemini_task": _vendor("google", "allowed_tools", "max_turns"),
    "codex_task": _vendor("openai"),
    "fh_e2e_tools": JobType(
        required=frozenset({"prompt"}),
        optional=frozenset({"agent"}) | AGENTS,
        image="e2e",
        workspace="e2e-tests",
        services=(BROWSER,),
        led=AGENTS,
        nobody="runbook",
    ),
    "user_exam": JobType(
        required=frozenset({"user_id", "time_range"}),
        optional=frozenset({"agent", "prompt"}) | AGENTS,
        image="data",
        services=(DATABASES,),
        led=AGENTS | {"prompt"},
        nobody="none",
    ),
}

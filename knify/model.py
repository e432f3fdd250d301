"""The records of Knify: frozen, JSON-able, each field explained where it stands."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

from knify.lifecycle import SandboxState, State

EPOCH_FENCE = 2**32  # fences of a store that was never put back are smaller
SCHEMA = 3  # raised when a stored record changes its meaning; a newer store refuses to start


@dataclass(frozen=True, slots=True)
class Record:
    """What all records share."""

    def evolve(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Resources(Record):
    """What one sandbox may use."""

    cpus: float = 2.0  # cores, a share: may exceed what the node has
    memory: int = 2 * 1024**3  # bytes; swap is not added
    disk: int = 10 * 1024**3  # bytes below /workspace and /home/agent together
    pids: int = 1024  # processes and threads


@dataclass(frozen=True, slots=True)
class Repository(Record):
    """Where the files of a sandbox's first turn come from."""

    url: str  # https://…, without a login in it
    branch: str | None = None  # None: what the repository calls its default
    commit: str | None = None  # hex; None: the branch's newest when it is cloned
    subpath: str | None = None  # the command starts in this folder of it


@dataclass(frozen=True, slots=True)
class SecretRef(Record):
    """Where a value is that the command finds in its environment; never the value itself."""

    name: str  # of the variable
    source: str  # env | file | vault
    key: str  # its name there


@dataclass(frozen=True, slots=True)
class ExecutionSpec(Record):
    """What is to be run, whatever façade it came through."""

    job_type: str  # "command_task", "runbook_task", "cursor_task", …
    prompt: str | None = (
        None  # for an agent; for a runbook: Markdown, or "@file.md" in the workspace
    )
    model: str | None = None  # as the agent's own program calls it; None: its choice
    agent: str | None = None  # who follows the prompt, where that can be chosen
    session_id: str | None = None  # the conversation that the user wants to go on with
    command: tuple[str, ...] | None = None  # argv; a string given by a user became ("sh", "-c", …)
    image: str | None = None  # None: the operator's base image
    user_id: str | None = None  # whom a user_exam is about
    time_range: tuple[int, int] | None = None  # first and last moment of it, ms
    workspace_id: str | None = None  # resolved at submission, so later versions change nothing
    repository: Repository | None = None  # instead of a workspace
    secrets: tuple[SecretRef, ...] = ()  # read where the command is started, each time anew
    profile: str | None = None  # of the operator: an image and defaults, applied at submission
    env: dict[str, str] = field(default_factory=dict)  # plain values, visible in the answer
    timeout: float = 86_400.0  # seconds of running
    hang_timeout: float | None = None  # seconds without any output; None: no limit
    resources: Resources = field(default_factory=Resources)
    artifact_patterns: tuple[str, ...] = ()  # globs from /workspace; empty: all changed files
    allowed_tools: tuple[str, ...] = ()  # an agent's, by our names or its own; empty: all
    mcp_config: dict[str, Any] | None = None  # {"mcpServers": {name: {…}}}
    max_turns: int | None = None  # answers of its model that an agent may ask for
    system_prompt: str | None = None  # put behind the agent's own
    network_mode: str = "isolated"  # isolated | outbound | full, see `hosts.read`
    allowed_hosts: tuple[str, ...] = ()  # NAME or *.NAME, perhaps with :PORT
    max_tokens: int | None = None  # of all its model calls through the gateway
    max_cost_usd: float | None = None
    stage_timeout: float = 900.0  # seconds that staging may take, attempts included
    provision_timeout: float = 600.0  # the same for provisioning
    failure_action: str = "keep"  # what becomes of a failed one's sandbox: keep, preserve, destroy
    priority: int = 0  # -10 … 10, higher first

    @property
    def actor(self) -> str:
        """The job type of who follows the prompt: mostly its own."""
        return actor(self.job_type, self.agent)


def actor(job_type: str, agent: str | None) -> str:
    """The job type of the agent, where one was chosen; else the job's own."""
    return job_type if agent in (None, "runbook", "none") else f"{agent}_task"


@dataclass(frozen=True, slots=True)
class Outcome(Record):
    """How a turn ended: the one value that decides the terminal state."""

    # exited | lingered | cancelled | timeout | hang | flood | disk_full | oom_killed | host_lost |
    # monitor_lost | error
    kind: str
    exit_code: int | None = None  # the process's own, when it had one
    error: str | None = None  # for people; None when all is well
    result: str | None = None  # an agent's last words
    usage: dict[str, int] | None = None  # tokens, as the agent counts them
    cost_usd: float | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the work itself ended well."""
        ended = self.kind == "lingered" or (self.kind == "exited" and self.exit_code == 0)
        return ended and self.error is None


@dataclass(frozen=True, slots=True)
class Said(Record):
    """What an agent has told of its turn so far; whoever takes it over goes on from here."""

    session_id: str | None = None  # its own conversation id
    text: str | None = None  # its last message: the result, when it ends well
    files: tuple[str, ...] = ()  # that it reported as created, below /workspace
    verdict: str | None = None  # its own word on its end: ok | error; None before that
    error: str | None = None  # with the verdict `error`: why
    code: str | None = None  # the same for programs, AGENT_…
    usage: dict[str, int] | None = None
    cost_usd: float | None = None
    begun: str | None = None  # of a message that comes in parts: what has come of it


@dataclass(frozen=True, slots=True)
class Run(Record):
    """Why an execution is there that is a run of a definition."""

    trigger: str  # manual | schedule | retry
    scheduled_at: int | None = None  # the due time that it is for
    attempt: int = 1  # 1…N of the same due time, or of what was triggered
    retries: int = 0  # after so many failures it is tried again
    backoff_ms: int = 0  # until the first retry; each further one comes after twice as long


@dataclass(frozen=True, slots=True)
class Execution(Record):
    """One spec, run once, in one sandbox."""

    id: str  # job_…, run_… or a task's id
    tenant: str  # who owns it
    state: State
    spec: ExecutionSpec
    request: dict[str, Any]  # the spec as the user wrote it: what `GET` shows
    created_at: int  # ms since the epoch, as all times here
    name: str | None = None  # the user's label
    # What its user calls it, unique within the tenant; None: it came through another door than
    # the Tasks API.
    task_id: str | None = None
    definition: str | None = None  # the Projects API's job that it is a run of,
    run: Run | None = None  # why,
    retry_of: str | None = None  # and the failed run that it repeats
    metadata: dict[str, Any] = field(default_factory=dict)  # the user's own data
    state_changed_at: int = 0
    started_at: int | None = None  # when the command was started
    completed_at: int | None = None  # when a terminal state was reached
    parent_id: str | None = None  # the execution that this one continues
    child_of: str | None = None  # the task that this one names as its parent
    opened_by: str | None = None  # it is a shell: the key by which it was opened
    traceparent: str | None = None  # W3C's, of the request that it came by; see knify/tracing.py
    parked_at: int | None = None  # since when it waits, with all else done, for its children
    sandbox_id: str | None = None
    node: str | None = None  # the Podman host it runs on
    image_digest: str | None = None  # sha256:… of the image that its sandbox was made from
    start_commit: str | None = None  # of its repository, as it was cloned; the patch is against it
    session_id: str | None = None  # the agent's own conversation id
    said: Said | None = None  # what the agent has told so far
    usage: dict[str, float] | None = None  # tokens that it took, and `cost_usd` where that is known
    fence: int = 0  # grows with each claim; every write names it
    owner: str | None = None  # process that holds the lease: host/boot/pid/start, see runner
    lease_until: int = 0  # ms by Redis's clock
    line: str | None = None  # waits for room: on this node, "" on any; None: not yet, or no more
    attempts: int = 0  # times that the sandbox's host failed us; the turn is tried again
    cancel_requested_at: int | None = None
    deleting: int | None = None  # since when it is being deleted: for users it is not there
    cancel_reason: str | None = None
    start_nonce: str | None = None  # marks this turn's output; set when it enters running
    boot: str | None = None  # of the machine, when the command was started
    events: int = 0  # number of the newest event
    entries: int = 0  # number of the newest output entry
    lines: int = 0  # number of the newest raw line
    out_bytes: int = 0  # bytes of stdout already stored, from the start nonce on
    err_bytes: int = 0  # the same of stderr
    tool_calls: int = 0  # that its agent began
    current_tool: str | None = None  # the one that it is at
    tail_bytes: int = 0  # bytes of output entries that Redis holds; older ones are objects
    exit_code: int | None = None
    error: str | None = None
    stopping: Outcome | None = None  # why its owner began to end the command, before it does
    outcome: Outcome | None = None  # set when it enters completing
    packed: bool = False  # only a row is left of it: long fields are brief, `history.whole` has all
    is_brief: bool = False  # some of them were cut
    files_expired_at: int | None = None  # when its artifacts went

    @property
    def is_after_rollback(self) -> bool:
        """Whether it was claimed in a store that had been put back to an older state."""
        return self.fence >= EPOCH_FENCE


@dataclass(frozen=True, slots=True)
class Sandbox(Record):
    """A container and the volumes that persist beside it."""

    id: str
    tenant: str
    state: SandboxState  # creating also means: promised to a job, not made yet
    image: str
    resources: Resources
    created_at: int
    state_changed_at: int
    node: str | None = None  # the Podman host that holds it; set when it is first made
    workspace_id: str | None = None  # what is put into it when it is made,
    repository: Repository | None = None  # or this,
    start_commit: str | None = None  # of which it was then that commit
    container: str | None = None  # Podman's id
    expires_at: int | None = None  # ms; counted from the last terminal turn
    hot_until: int | None = None  # its container was left frozen, not stopped; ms
    archive: str | None = None  # key of its newest archive; what counts only while archived
    archive_size: int | None = None  # bytes, sealed
    archive_sha256: str | None = None  # of the sealed object
    archived_at: int | None = None
    archiving: str | None = None  # key of an archive that is being made; a new turn removes it
    reason: str | None = None  # why it is lost
    custody: str | None = None  # all secrets that it was ever given, sealed; see knify/custody.py


@dataclass(frozen=True, slots=True)
class Event(Record):
    """One step of an execution's history."""

    n: int  # 1…N within its execution
    ts: int
    stage: str
    level: str  # info | warning | error
    detail: str
    state: str | None = None  # set when this event is a change of state


@dataclass(frozen=True, slots=True)
class Artifact(Record):
    """A file that an execution created or changed."""

    path: str  # below /workspace, with forward slashes
    size: int  # bytes
    sha256: str
    content_type: str
    created_at: int
    key: str  # where the object store keeps it
    withheld: bool = False  # it holds a secret: nothing of it is kept, and no checksum


@dataclass(frozen=True, slots=True)
class Workspace(Record):
    """One uploaded version of a named workspace."""

    id: str
    tenant: str
    name: str
    version: int  # 1…N within its name
    size: int  # bytes of the unpacked files
    sha256: str  # of the normalised tar
    key: str  # where the object store keeps it, encrypted
    created_at: int
    files: int = 0  # entries in it
    upload_sha256: str = ""  # of the archive as it was sent

# ruff: noqa: E501 — the table of keys is wider than code
"""Every key that Knify keeps in Redis. The Lua scripts build the same names.

One primary, never Redis Cluster: the scripts compute index keys from records.

| key | type | holds | lives |
|---|---|---|---|
| `knify:installation` | string | the installation's id | for ever |
| `knify:schema` | string | the number of the records' form | for ever |
| `knify:x:{id}` | hash | an execution, see `codec.py`; once packed, a row | `KNIFY_JOB_DAYS` after its end |
| `knify:x:{id}:events` | stream | its history; entry ids are `n-0`, n = 1…N | until it is packed |
| `knify:x:{id}:output` | stream | the newest of its output entries; ids `n-0`, n = 1…N | until it is packed |
| `knify:x:{id}:segments` | zset | older entries that objects hold: `first-last`; score: last | until it is packed |
| `knify:ended` | zset | terminal executions that are not packed; score: when they ended | member leaves when packed |
| `knify:packed:files` | zset | packed ones whose artifacts may still be there; score: when they ended | member leaves after `KNIFY_ARTIFACT_DAYS` |
| `knify:packed` | zset | packed ones without artifacts; score: when they ended, or later while the sandbox lives | member leaves with the execution |
| `knify:expiring` | zset | executions whose objects are being deleted; score: since when | member leaves with the execution |
| `knify:due` | zset | every execution that is not terminal; score: when to look at it again | member leaves at the end |
| `knify:waiting[:{node}]` | zset | executions that found no free slot; score: priority, then age | member leaves when retried |
| `knify:t:{tenant}:x` | zset | a tenant's executions by time of creation | as the executions |
| `knify:t:{tenant}:x:state:{state}` | zset | the same, of one state | as the executions |
| `knify:t:{tenant}:x:type:{type}` | zset | the same, of one job type | as the executions |
| `knify:s:{id}` | hash | a sandbox | with its last execution, 30 days longer if its node never removed it |
| `knify:s:{id}:turns` | list | its executions that are not terminal, in their order | member leaves at the end |
| `knify:sandboxes:expiry` | zset | idle sandboxes; score: when they expire | member leaves with a new turn |
| `knify:node:{node}:beat` | string | a node's heartbeat (JSON) | 60 s after the last one |
| `knify:node:{node}:active` | set | executions that occupy a slot there | member leaves at the end |
| `knify:node:{node}:removals` | set | sandboxes whose container and volumes are to go | member leaves when gone |
| `knify:nodes` | zset | names of nodes; score: last heartbeat | member leaves after a day |
| `knify:w:{id}` | hash | a workspace version | until deleted, or `KNIFY_WORKSPACE_VERSIONS` newer ones |
| `knify:w:{id}:users` | set | sandboxes that still have to be made from it | member leaves when made, or never to be made |
| `knify:workspaces:doomed` | set | versions whose object is being deleted | member leaves with the version |
| `knify:t:{tenant}:w` | zset | a tenant's workspace versions by time of creation | as the workspaces |
| `knify:t:{tenant}:w:{name}` | zset | the versions of one name; score: version | as the workspaces |
| `knify:t:{tenant}:wv` | hash | the newest version number ever given to each name | for ever |
| `knify:k:{id}` | hash | an API key's record (never the key) | until deleted |
| `knify:t:{tenant}:k` | set | a tenant's keys | as the keys |
| `knify:idem:{tenant}:{key}` | string | body digest and execution of an Idempotency-Key | 24 h |
| `knify:t:{tenant}:webhooks` | set | a tenant's webhooks; while empty, nothing enters the outbox | as the webhooks |
| `knify:outbox` | stream | lifecycle signals for webhooks | the newest 100,000 |

Channels: `knify:x:{id}` says "event" or "output" after each append; `knify:node:{node}`
carries "cancel {execution}" to the node's workers. Both are hints: losing one costs time only.
"""

from __future__ import annotations

PREFIX = "knify:"
INSTALLATION = PREFIX + "installation"
SCHEMA = PREFIX + "schema"
DUE = PREFIX + "due"
EXPIRY = PREFIX + "sandboxes:expiry"
NODES = PREFIX + "nodes"
ENDED = PREFIX + "ended"
PACKED_FILES = PREFIX + "packed:files"
PACKED = PREFIX + "packed"
EXPIRING = PREFIX + "expiring"
DOOMED = PREFIX + "workspaces:doomed"


def execution(execution_id: str) -> str:
    """The record; also the name of its channel."""
    return f"{PREFIX}x:{execution_id}"


def events(execution_id: str) -> str:
    """The stream of its history."""
    return f"{PREFIX}x:{execution_id}:events"


def output(execution_id: str) -> str:
    """The stream of its output."""
    return f"{PREFIX}x:{execution_id}:output"


def segments(execution_id: str) -> str:
    """The parts of its output that objects hold."""
    return f"{PREFIX}x:{execution_id}:segments"


def executions(tenant: str, *, state: str | None = None, job_type: str | None = None) -> str:
    """The index of a tenant's executions: all, of one state, or of one type."""
    base = f"{PREFIX}t:{tenant}:x"
    if state is not None:
        return f"{base}:state:{state}"
    return base if job_type is None else f"{base}:type:{job_type}"


def sandbox(sandbox_id: str) -> str:
    """The record of a sandbox."""
    return f"{PREFIX}s:{sandbox_id}"


def turns(sandbox_id: str) -> str:
    """Its executions that are not terminal, in order."""
    return f"{PREFIX}s:{sandbox_id}:turns"


def node(name: str) -> str:
    """A node's heartbeat; also the name of its control channel."""
    return f"{PREFIX}node:{name}"


def active(name: str) -> str:
    """Executions that occupy a slot of the node."""
    return f"{PREFIX}node:{name}:active"


def removals(name: str) -> str:
    """Sandboxes that the node's workers have to remove."""
    return f"{PREFIX}node:{name}:removals"


def waiting(name: str | None = None) -> str:
    """Executions that wait for a slot, of one node or of any."""
    return f"{PREFIX}waiting" + (f":{name}" if name else "")


def workspace(workspace_id: str) -> str:
    """The record of a workspace version."""
    return f"{PREFIX}w:{workspace_id}"


def workspace_users(workspace_id: str) -> str:
    """Sandboxes that still have to be made from it."""
    return f"{PREFIX}w:{workspace_id}:users"


def workspaces(tenant: str, name: str | None = None) -> str:
    """The index of a tenant's workspace versions: all, or of one name."""
    return f"{PREFIX}t:{tenant}:w" + (f":{name}" if name else "")


def api_key(key_id: str) -> str:
    """The record of an API key."""
    return f"{PREFIX}k:{key_id}"


def api_keys(tenant: str) -> str:
    """The ids of a tenant's keys."""
    return f"{PREFIX}t:{tenant}:k"


def idempotency(tenant: str, key: str) -> str:
    """What an Idempotency-Key was first used for."""
    return f"{PREFIX}idem:{tenant}:{key}"

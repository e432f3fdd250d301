# ruff: noqa: E501 — the table of keys is wider than code
"""Every key that Knify keeps in Redis. The Lua scripts build the same names.

One primary, never Redis Cluster: the scripts compute index keys from records.

| key | type | holds | lives |
|---|---|---|---|
| `knify:installation` | string | the installation's id | for ever |
| `knify:schema` | string | the number of the records' form | for ever |
| `knify:confirmed` | string | counts repeated submissions that were confirmed by replicas | for ever |
| `knify:clock` | string | counts claims, heartbeats and pulses; a smaller one than before is a rollback | for ever |
| `knify:epoch` | string | how many rollbacks were noticed; the upper bits of new fences | for ever |
| `knify:rolled_at` | string | when the last one was noticed | for ever |
| `knify:watch` | hash | `since`, `last`: how long sweepers have seen this Redis without a break; `jumped`: when its clock did so last | for ever |
| `knify:tally` | hash | for metrics, by state: `came:`, `left:`, and `ms:`, how long those that left had been in it | for ever |
| `knify:minutes` | list | the tally at the end of each minute (JSON), the newest last | 1,440 rows |
| `knify:minutes:at` | string | this minute has its row | until its end |
| `knify:node:{node}:checkup` | string | what `knify doctor` found there last (JSON) | 3 h |
| `knify:counts` | hash | what processes counted for `/metrics`, by name and label; see `counters.py` | for ever |
| `knify:x:{id}` | hash | an execution, see `codec.py`; once packed, a row | `KNIFY_JOB_DAYS` after its end |
| `knify:x:{id}:events` | stream | its history; entry ids are `n-0`, n = 1…N | until it is packed |
| `knify:x:{id}:output` | stream | the newest of its output entries; ids `n-0`, n = 1…N | until it is packed |
| `knify:x:{id}:open` | zset | children of this task that have not ended, 1,000 at most; score: their moment | member leaves at its end |
| `knify:x:{id}:work` | set | those of them that were claimed, where their number is limited | member leaves at its end |
| `knify:disbanding` | zset | cancelled tasks whose children are still to be asked; score: since when | member leaves when all were asked |
| `knify:x:{id}:typed` | stream | what was typed into a shell and no node took yet, 256 words at most | until its end |
| `knify:x:{id}:segments` | zset | older entries that objects hold: `first-last@from-to`, numbers and times; score: last | until it is packed |
| `knify:x:{id}:metrics` | list | points `ms millicores bytes` of its last ten seconds each, 720 at most, older ones coarser | until it is packed |
| `knify:usage:{id}` | hash | what it took of models so far (of calls under way: an estimate), and how far each gateway counted; see `store/usage.py` | until it is packed, an hour beyond its end at most |
| `knify:told:{id}` | hash | marks of what gateways told of it, so that each is told once; `over`: why its budget is used up | until its end |
| `knify:ended` | zset | terminal executions that are not packed; score: when they ended | member leaves when packed |
| `knify:packed:files` | zset | packed ones whose artifacts may still be there; score: when they ended | member leaves after `KNIFY_ARTIFACT_DAYS` |
| `knify:packed` | zset | packed ones without artifacts; score: when they ended, or later while the sandbox lives | member leaves with the execution |
| `knify:expiring` | zset | executions whose objects are being deleted; score: since when | member leaves with the execution |
| `knify:deleting` | zset | executions that somebody wants to be gone; score: when to look at them again | member leaves with the execution |
| `knify:forgotten` | zset | executions without a record whose folder of objects is emptied once more; score: since when | half an hour |
| `knify:due` | zset | every execution that is not terminal; score: when to look at it again | member leaves at the end |
| `knify:line:{node}:{tenant}` | zset | a tenant's executions that wait for room there, without a node on any; score: priority, then age | member leaves by a claim or its end |
| `knify:lines:{node}` | zset | tenants who wait there; score: when last served, µs | member leaves with its line |
| `knify:oldest:{node}` | zset | all executions that wait there; score: since when | as in the line |
| `knify:served` | zset | tenants; score: when one of them was given a slot last, µs | for ever |
| `knify:t:{tenant}:x` | zset | a tenant's executions; score: its moment, the µs of its creation, unique within the tenant | as the executions |
| `knify:t:{tenant}:terms` | zset | by what they are found: words of state and type, and of metadata, each with the moment (`terms.py`); scores 0 | as the executions |
| `knify:t:{tenant}:pending` | zset | those that no worker has begun; score: moment | member leaves with the state |
| `knify:t:{tenant}:names` | hash | ids that users gave to tasks; value: the execution | field goes when the task leaves the lists |
| `knify:t:{tenant}:types` | set | job types that a tenant ever used | as its executions |
| `knify:d:{id}` | hash | a definition: the Projects API's job; `dropped` while it is being deleted | until deleted |
| `knify:d:{id}:runs` | zset | its runs that users see; score: moment | as the executions |
| `knify:d:{id}:counts` | hash | how many of those are in each state | as the executions |
| `knify:d:{id}:live` | set | runs that have not ended, and failed ones that are to be tried again | member leaves then |
| `knify:d:{id}:spans` | zset | those that have begun; score: a class of how long they ran, then when they began (`runs.lua`) | as the executions |
| `knify:d:{id}:ends` | zset | those of them that have ended; score: when | as the executions |
| `knify:d:{id}:good`, `…:bad` | zset | those of its runs that have ended well, or otherwise; score: when | as the executions, or fewer: `keep_good`, `keep_bad` of the definition |
| `knify:t:{tenant}:d` | zset | a tenant's definitions; score: µs of their creation | as the definitions |
| `knify:t:{tenant}:p` | zset | projects of a tenant that have definitions; score: when they were made | with their last definition |
| `knify:t:{tenant}:p:{project}` | zset | a project's definitions; score: µs of their creation | as the definitions |
| `knify:t:{tenant}:p:{project}:names` | hash | their names; value: the id | as the definitions |
| `knify:t:{tenant}:p:{project}:tag:{tag}` | zset | those that have a tag; score: µs of their creation | as the definitions |
| `knify:cron` | zset | definitions with a due time to come; score: when to look at it (ms), or a moment later while a beat does | member leaves with the schedule |
| `knify:fired` | string | the newest due time that was ever done with: one far ahead shows that the clock was put back | until then |
| `knify:retries` | zset | failed runs that are to be tried again; score: when, as above | member leaves with the retry |
| `knify:runs:over` | zset | runs beyond what their definition keeps; score: since when | member leaves when the sweep deletes it |
| `knify:dropping` | zset | definitions that are being deleted; score: when to look at it again | member leaves with the last run |
| `knify:s:{id}` | hash | a sandbox | with its last execution, 30 days longer if its node never removed it |
| `knify:s:{id}:turns` | list | its executions that are not terminal, in their order | member leaves at the end |
| `knify:s:{id}:jobs` | list | its executions behind the `first`, which its record names, in their order | member leaves with the execution |
| `knify:t:{tenant}:s` | zset | a tenant's sandboxes by time of creation | as the sandboxes |
| `knify:sandboxes:expiry` | zset | idle sandboxes; score: when they expire | member leaves with a new turn |
| `knify:node:{node}:beat` | string | a node's heartbeat (JSON) | 60 s after the last one |
| `knify:node:{node}:machine` | string | which machine beats under this name | as the heartbeat |
| `knify:node:{node}:sandboxes` | set | sandboxes that live there | member leaves when deleted or lost |
| `knify:node:{node}:orphans` | hash | sandbox id → JSON: what Podman has of it there, though no record does | until removed or known again |
| `knify:node:{node}:active` | set | executions that occupy a slot there | member leaves at the end |
| `knify:node:{node}:used` | hash | what those take together: cpus (thousandths), memory, disk (bytes) | for ever |
| `knify:node:{node}:capacity` | hash | what the last heartbeat declared, and why it takes nothing new | for ever |
| `knify:node:{node}:hold` | hash | whom the node is held for, until when, when again; whom it let try last | for ever |
| `knify:node:{node}:removals` | set | sandboxes whose container and volumes are to go | member leaves when gone |
| `knify:node:{node}:paused` | zset | idle paused sandboxes there; score: since when, 0: to be archived now | member leaves with a new turn, by archiving or deletion |
| `knify:node:{node}:hot` | zset | those among them that are frozen, not stopped; score: until when | as above, or when stopped |
| `knify:node:{node}:hold:{sandbox}` | hash | which process stops or removes its container just now, and until when | ended by that process, or by one that proved it dead; a day at most |
| `knify:node:{node}:doors` | hash | execution → JSON: what its gateway listens for, in which process's network namespace | field goes with the turn, or when the next gateway finds its process dead |
| `knify:draining` | hash | nodes that take no new sandbox and send theirs away (JSON: since, paused) | until undrained |
| `knify:keep` | string | a backup is being made: nothing expires | while it is made, 120 s longer at most |
| `knify:cordoned` | hash | nodes that take no new sandbox and keep theirs; value: since when | until uncordoned |
| `knify:node:{node}:images` | set | images that the node has, as its last heartbeat said | a day after the last one |
| `knify:image:{image}` | zset | nodes that have this image; score: their last heartbeat | a day after the last one; member leaves with the image |
| `knify:trees:{workspace}` | zset | nodes that made a sandbox from this workspace version, the newest 16; score: when | a day after the last one |
| `knify:objects:removals` | zset | objects to be deleted; score: when | member leaves when gone, or when a record names it |
| `knify:nodes` | zset | names of nodes; score: last heartbeat | member leaves after a day |
| `knify:w:{id}` | hash | a workspace version | until deleted, or `KNIFY_WORKSPACE_VERSIONS` newer ones |
| `knify:w:{id}:users` | set | sandboxes that still have to be made from it | member leaves when made, or never to be made |
| `knify:w:{id}:versions` | set | the versions whose files are the object `workspaces/{id}` | member leaves with the version |
| `knify:t:{tenant}:wd` | hash | digests of a tenant's contents; value: the id in the object's key | field goes with the last version |
| `knify:t:{tenant}:w` | zset | a tenant's workspace versions by time of creation | as the workspaces |
| `knify:t:{tenant}:w:{name}` | zset | the versions of one name; score: version | as the workspaces |
| `knify:t:{tenant}:wv` | hash | the newest version number ever given to each name | for ever |
| `knify:t:{tenant}:secrets` | hash | names of the secrets that it keeps here, 1,000 at most; value: when it was kept first and last (JSON) | until deleted |
| `knify:t:{tenant}:secrets:sealed` | hash | the same names; value: theirs, sealed with the master key | until deleted |
| `knify:k:{id}` | hash | an API key's record (never the key) | 30 days after it was revoked or has expired |
| `knify:rate:key/{id}/{limit}/1/hour` | list | when a limited key's requests of the last hour came | 1 h after the last one |
| `knify:out:{name}` | string | that a browser's session was ended by its user | 12 h |
| `knify:token:{hash}` | string | which key a stream token is of, and its stream (JSON) | until it is used; 60 s |
| `knify:t:{tenant}:k` | set | a tenant's keys, 1,000 at most | member leaves when a list misses its key |
| `knify:idem:{tenant}:{key}` | string | body digest and first answer of an Idempotency-Key that submitted a job | 24 h |
| `knify:replay:{tenant}:{key id}:{key}` | hash | body digest, seed and first answer (sealed) of any other Idempotency-Key | 24 h, or less where the answer is of use for less |
| `knify:t:{tenant}:webhooks` | set | a tenant's webhooks, 20 at most; while empty, nothing enters an outbox | as the webhooks |
| `knify:h:{webhook}` | hash | a webhook; its secret is sealed | until deleted |
| `knify:h:{webhook}:d:{delivery}` | hash | one event for this receiver, and what became of it | until it has ended and 200 have ended since |
| `knify:h:{webhook}:all` | zset | its deliveries; score: when they were made | as the deliveries |
| `knify:h:{webhook}:waiting` | zset | those that have not ended, 5,000 at most; score: the same | member leaves at the end |
| `knify:h:{webhook}:due` | zset | those that may be tried; score: when | member leaves by a claim |
| `knify:h:{webhook}:leased` | zset | those that are being tried; score: end of the lease | member leaves with the attempt, or by the next claim |
| `knify:h:{webhook}:ended` | zset | the 200 that ended last; score: when | as the deliveries |
| `knify:webhooks:due`, `knify:webhooks:ill` | zset | webhooks that have something to do; those among them whose attempts fail; score: when | member leaves when there is nothing |

Channels: `knify:x:{id}` says "event", "output" or "metrics" after each append; `knify:t:{tenant}` names each execution that comes, changes its state or goes; `knify:node:{node}` carries "cancel {execution}", "kill {execution}", "budget {execution}" (used up), "typed {execution}" and "tidy" (look at the idle sandboxes) to the
node's workers, "network {execution}" to its gateway; `knify:webhooks` says that a delivery is due earlier than was known, `knify:cron` the same of a schedule. All are hints: losing one costs time only.
"""

from __future__ import annotations

PREFIX = "knify:"
INSTALLATION = PREFIX + "installation"
SCHEMA = PREFIX + "schema"
CONFIRMED = PREFIX + "confirmed"
CLOCK = PREFIX + "clock"
EPOCH = PREFIX + "epoch"
ROLLED_AT = PREFIX + "rolled_at"
WATCH = PREFIX + "watch"
COUNTS = PREFIX + "counts"
DUE = PREFIX + "due"
EXPIRY = PREFIX + "sandboxes:expiry"
NODES = PREFIX + "nodes"
DRAINING = PREFIX + "draining"
OBJECT_REMOVALS = PREFIX + "objects:removals"
ENDED = PREFIX + "ended"
PACKED_FILES = PREFIX + "packed:files"
PACKED = PREFIX + "packed"
DELETING = PREFIX + "deleting"
DISBANDING = PREFIX + "disbanding"
FORGOTTEN = PREFIX + "forgotten"
EXPIRING = PREFIX + "expiring"
RATE = PREFIX + "rate"  # the library adds `:key/{id}/{limit}/1/hour`
WEBHOOKS = PREFIX + "webhooks"  # a channel
CRON = PREFIX + "cron"  # also a channel
FIRED = PREFIX + "fired"
RETRIES = PREFIX + "retries"
RUNS_OVER = PREFIX + "runs:over"
DROPPING = PREFIX + "dropping"


def execution(execution_id: str) -> str:
    """The record; also the name of its channel."""
    return f"{PREFIX}x:{execution_id}"


def executions(tenant: str) -> str:
    """The list of a tenant's executions by their moments."""
    return f"{PREFIX}t:{tenant}:x"


def terms(tenant: str) -> str:
    """By what they are found."""
    return f"{PREFIX}t:{tenant}:terms"


def pending(tenant: str) -> str:
    """Those that no worker has begun."""
    return f"{PREFIX}t:{tenant}:pending"


def names(tenant: str) -> str:
    """The ids that users gave to tasks."""
    return f"{PREFIX}t:{tenant}:names"


def changes(tenant: str) -> str:
    """The channel that names those of a tenant's executions that change."""
    return f"{PREFIX}t:{tenant}"


def job_types(tenant: str) -> str:
    """The job types that it ever used."""
    return f"{PREFIX}t:{tenant}:types"


def sandbox(sandbox_id: str) -> str:
    """The record of a sandbox."""
    return f"{PREFIX}s:{sandbox_id}"


def turns(sandbox_id: str) -> str:
    """Its executions that are not terminal, in order."""
    return f"{PREFIX}s:{sandbox_id}:turns"


def continuations(sandbox_id: str) -> str:
    """All its executions behind the first one, in order."""
    return f"{PREFIX}s:{sandbox_id}:jobs"


def node(name: str) -> str:
    """A node's heartbeat; also the name of its control channel."""
    return f"{PREFIX}node:{name}"


def active(name: str) -> str:
    """Executions that occupy a slot of the node."""
    return f"{PREFIX}node:{name}:active"


def removals(name: str) -> str:
    """Sandboxes that the node's workers have to remove."""
    return f"{PREFIX}node:{name}:removals"


def paused(name: str) -> str:
    """Idle paused sandboxes of the node, hot ones too."""
    return f"{PREFIX}node:{name}:paused"


def hot(name: str) -> str:
    """Those of them whose container is frozen."""
    return f"{PREFIX}node:{name}:hot"


def located(name: str) -> str:
    """Sandboxes that live on the node."""
    return f"{PREFIX}node:{name}:sandboxes"


def orphans(name: str) -> str:
    """What the node's Podman has of sandboxes that no record knows."""
    return f"{PREFIX}node:{name}:orphans"


def sandboxes(tenant: str) -> str:
    """The index of a tenant's sandboxes."""
    return f"{PREFIX}t:{tenant}:s"


def used(name: str) -> str:
    """What the active executions of the node take together."""
    return f"{PREFIX}node:{name}:used"


def doors(name: str) -> str:
    """What the node's gateway has open."""
    return f"{PREFIX}node:{name}:doors"


def hold(name: str) -> str:
    """Whom the node is held for."""
    return f"{PREFIX}node:{name}:hold"


def line(place: str, tenant: str) -> str:
    """A tenant's executions that wait for room on one node, or ('') on any."""
    return f"{PREFIX}line:{place}:{tenant}"


def api_key(key_id: str) -> str:
    """The record of an API key."""
    return f"{PREFIX}k:{key_id}"


def api_keys(tenant: str) -> str:
    """The ids of a tenant's keys."""
    return f"{PREFIX}t:{tenant}:k"


def stream_token(name: str) -> str:
    """What a stream token is good for."""
    return f"{PREFIX}token:{name}"


def ended_session(name: str) -> str:
    """That a browser signed out."""
    return f"{PREFIX}out:{name}"


def idempotency(tenant: str, key: str) -> str:
    """What an Idempotency-Key was first used for."""
    return f"{PREFIX}idem:{tenant}:{key}"

"""A store full of finished, packed jobs, as quick as Redis takes them: no worker ran them.

They are what the scripts and packing leave of real ones; a test compares the two.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from knify import ids, model
from knify.core import Core
from knify.lifecycle import SandboxState
from knify.store import codec, keys, rows, terms
from knify.store import redis as store_redis
from tests import factories

BATCH = 500
GAP = 1_000_000  # µs between two jobs
TENANT, NODE = "default", "n1"

_LUA = """
local tenant, node = 'knify:t:default', 'knify:node:n1'
local made = cjson.decode(ARGV[1])
local function set(key, fields)
  local flat = {}
  for name, value in pairs(fields) do flat[#flat + 1] = name flat[#flat + 1] = value end
  redis.call('HSET', key, unpack(flat))
end
for _, job in ipairs(cjson.decode(ARGV[2])) do
  local id, sandbox, at, which = job[1], job[2], job[3], made[job[4]]
  set('knify:x:' .. id, which.x)
  set('knify:s:' .. sandbox, which.s)
  redis.call('HSET', 'knify:x:' .. id, 'sandbox_id', sandbox)
  redis.call('HSET', 'knify:s:' .. sandbox, 'first', '')
  redis.call('ZADD', tenant .. ':x', string.format('%d', at), id)
  for _, word in ipairs(which.words) do
    redis.call('ZADD', tenant .. ':terms', 0, word .. string.format('%013x', at))
  end
  redis.call('SADD', tenant .. ':types', which.x.job_type)
  redis.call('ZADD', 'knify:packed:files', which.x.completed_at, id)
  redis.call('ZADD', tenant .. ':s', which.x.completed_at, sandbox)
  redis.call('ZADD', node .. ':paused', which.x.completed_at, sandbox)
  redis.call('SADD', node .. ':sandboxes', sandbox)
  redis.call('ZADD', 'knify:sandboxes:expiry', which.s.expires_at, sandbox)
end
return #made
"""

#: State, job type and metadata of the n-th job.
Kind = Callable[[int], tuple[str, str, Mapping[str, Any]]]


@dataclass
class Store:
    """What is filled, and how large it is."""

    core: Core
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    made: int = 0

    def jobs(self, count: int, *, metadata: int = 0) -> None:
        """Completed ones, each with so many metadata values that no other has."""

        def kind(n: int) -> tuple[str, str, Mapping[str, Any]]:
            found = {f"key_{i}": f"value-{n}-{i}" for i in range(metadata)}
            return "completed", "command_task", found

        self.of_kinds(count, kind, alike=False)

    def of_kinds(self, count: int, kind: Kind, *, alike: bool = True) -> None:
        """Any jobs. `alike`: those of one kind share their row, which is quicker."""
        client = store_redis.connect(self.core.settings.redis, timeout=60)
        start = self.core.store.registry.now_ms() * 1000
        fill = client.register_script(_LUA)
        start -= (self.made + count) * GAP
        forms: dict[str, dict[str, Any]] = {}
        while count:
            made: list[dict[str, Any]] = []
            known: dict[str, int] = {}
            jobs = []
            for _ in range(min(BATCH, count)):
                at, count = start + self.made * GAP, count - 1
                state, job_type, metadata = kind(self.made)
                self.made += 1
                sandbox = ids.new("sandbox")
                key = json.dumps([state, job_type, metadata]) if alike else sandbox
                if key not in known:
                    if key not in forms:
                        one = _made(self.made, at // 1000, state, job_type, metadata, sandbox)
                        forms[key] = one
                    made.append(forms[key])
                    known[key] = len(made)
                jobs.append([ids.paired("job", sandbox), sandbox, at, known[key]])
            fill(keys=[], args=[json.dumps(made), json.dumps(jobs)])

    def size(self) -> int:
        """Bytes of all keys in Redis."""
        client = self.core.store.client
        return sum(client.memory_usage(key, samples=0) for key in client.scan_iter(count=1000))


def _made(
    n: int, ms: int, state: str, job_type: str, metadata: Mapping[str, Any], sandbox: str
) -> dict[str, Any]:
    request: dict[str, Any] = {"job_type": job_type, "command": f"python train.py --run {n}"}
    if metadata:
        request["metadata"] = metadata
    kept = {
        "tenant": TENANT, "job_type": job_type, "sandbox_id": sandbox, "node": NODE,
        "priority": 0, "created_at": ms, "state_changed_at": ms + 7, "started_at": ms + 3,
        "fence": 1, "events": 9, "entries": 2, "lines": 1, "exit_code": 0,
        "schema": model.SCHEMA, "request": request,
    }  # fmt: skip
    words = [terms.of_kind(state, job_type), *terms.of_metadata(metadata)]
    box = factories.sandbox(
        id=sandbox, state=SandboxState.PAUSED, node=NODE, container="c" * 64,
        created_at=ms, state_changed_at=ms + 7, expires_at=ms + 30 * 86_400_000,
    )  # fmt: skip
    return {
        "x": rows.encode(kept) | {"state": state, "completed_at": str(ms + 7)},
        "s": codec.sandbox_fields(box) | {"executions": "1"},
        "words": words,
    }


def listed(core: Core) -> int:
    """How many executions the tenant's list holds."""
    return int(core.store.client.zcard(keys.executions(TENANT)))

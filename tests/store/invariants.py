"""What holds in a whole Redis between any two scripts."""

from __future__ import annotations

from collections.abc import Iterator

import redis

from knify.lifecycle import TERMINAL, State
from knify.store import codec, gauges, keys, open, terms

_LIVING = ("creating", "active", "paused")
_END = ("ended", "packed", "packed:files", "expiring")


class View:
    """All records of a moment."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.executions = self._hashes("x")
        self.sandboxes = self._hashes("s")
        self.nodes = {key.split(":")[2] for key in client.scan_iter("knify:node:*")}

    def _hashes(self, kind: str) -> dict[str, dict[str, str]]:
        found = self.client.scan_iter(f"knify:{kind}:*", _type="hash")
        return {key.split(":")[2]: self.client.hgetall(key) for key in found}

    def members(self, name: str) -> set[str]:
        kind = self.client.type(keys.PREFIX + name)
        if kind == "zset":
            return set(self.client.zrange(keys.PREFIX + name, 0, -1))
        return set(self.client.smembers(keys.PREFIX + name)) if kind == "set" else set()


def problems(store: open.Store) -> list[str]:
    """All that is wrong, in words."""
    view = View(store.client)
    found = [*_sandboxes(view), *_executions(view), *_lists(view), *_nodes(view)]
    found += [*_families(view), *_tally(view)]
    drift = {node: store.admission.recount(node) for node in view.nodes}
    return found + [f"counters of {node}: {what}" for node, what in drift.items() if what]


def _is(what: str, there: bool, wanted: bool) -> Iterator[str]:
    if there != wanted:
        yield f"{what}: {'is there' if there else 'is missing'}"


def _sandboxes(view: View) -> Iterator[str]:
    expiring, old = view.members("sandboxes:expiry"), view.members("objects:removals")
    for name, s in view.sandboxes.items():
        state, node = s["state"], s.get("node")
        turns = view.client.lrange(keys.turns(name), 0, -1)
        what = f"{name} ({state}, {len(turns)} turns)"
        for n in view.nodes:
            here, idle = n == node, state == "paused" and not turns
            lives = here and state in _LIVING
            yield from _is(f"{what} in sandboxes of {n}", _in(view, n, "sandboxes", name), lives)
            yield from _is(f"{what} in paused of {n}", _in(view, n, "paused", name), here and idle)
            hot = here and idle and "hot_until" in s
            yield from _is(f"{what} in hot of {n}", _in(view, n, "hot", name), hot)
            if lives and _in(view, n, "removals", name):
                yield f"{what} in removals of {n}"
        kept = view.client.ttl(keys.sandbox(name)) == -1
        yield from _is(f"{what} of its tenant", name in view.members(f"t:{s['tenant']}:s"), kept)
        yield from _is(f"{what} expires", name in expiring, not turns and state != "deleted")
        if "workspace_id" in s:
            uses = bool(turns) and state == "creating" and "archive" not in s
            there = name in view.members(f"w:{s['workspace_id']}:users")
            yield from _is(f"{what} as user of its workspace", there, uses)
        if "archive" in s:
            yield from _is(
                f"archive of {what} in removals", s["archive"] in old, state == "deleted"
            )
        if "archiving" in s:
            yield from _is(f"archiving of {what} in removals", s["archiving"] in old, True)
        if state == "archived" and (node or "container" in s or "archive" not in s):
            yield f"{what} is archived, and {node} has it or no object"
        mine = [x for x in view.executions.values() if x.get("sandbox_id") == name]
        if all("row" not in x for x in view.executions.values()) and len(mine) != int(
            s.get("executions", 0)
        ):
            yield f"{what} counts {s.get('executions')} executions, there are {len(mine)}"
        for turn in turns:
            x = view.executions.get(turn)
            if x is None or x.get("sandbox_id") != name or "completed_at" in x:
                yield f"{what} has the turn {turn}"


def _in(view: View, node: str, what: str, member: str) -> bool:
    return member in view.members(f"node:{node}:{what}")


def _executions(view: View) -> Iterator[str]:
    ends = {name: view.members(name) for name in _END}
    due, deleting = view.members("due"), view.members("deleting")
    for name, x in view.executions.items():
        what, over = f"{name} ({x['state']})", "completed_at" in x
        yield from _is(f"{what} in due", name in due, not over)
        lists = [where for where, members in ends.items() if name in members]
        if len(lists) != int(over):
            yield f"{what} is in {lists}"
        if over and ("owner" in x or "line" in x):
            yield f"{what} is owned or waits"
        if not over and name not in view.client.lrange(keys.turns(x["sandbox_id"]), 0, -1):
            yield f"{what} is no turn of its sandbox"
        if "line" in x:
            line = view.members(f"line:{x['line']}:{x['tenant']}")
            oldest = view.members(f"oldest:{x['line']}")
            yield from _is(f"{what} in its line", name in line and name in oldest, True)
        if "owner" in x:
            there = _in(view, x["node"], "active", name)
            yield from _is(f"{what} active", there, "parked_at" not in x)
        there = name in deleting
        yield from _is(f"{what} in deleting", there, "deleting" in x)
    for where, members in (ends | {"due": due, "deleting": deleting}).items():
        for name in members - set(view.executions):
            yield f"{name} in {where} without a record"


def _tally(view: View) -> Iterator[str]:
    """Who came into a state and has not left it is in it."""
    tally = view.client.hgetall(gauges.TALLY)
    for state in set(State) - TERMINAL:
        there = sum(x["state"] == state and "tallied" in x for x in view.executions.values())
        counted = int(tally.get(f"came:{state}", 0)) - int(tally.get(f"left:{state}", 0))
        if there != counted:
            yield f"{there} are {state}, {counted} were counted"


def _lists(view: View) -> Iterator[str]:
    """What executions are found by: all of them, and nothing else."""
    tenants = {key.split(":")[2] for key in view.client.scan_iter("knify:t:*:x")}
    tenants |= {key.split(":")[2] for key in view.client.scan_iter("knify:t:*:terms")}
    wanted: dict[str, set[str]] = {tenant: set() for tenant in tenants}
    for name, fields in view.executions.items():
        if "expiring" in fields or "deleting" in fields:
            continue
        x = codec.execution(fields, name)
        moment = view.client.zscore(keys.executions(x.tenant), name)
        if moment is None or int(moment) // 1000 != x.created_at:
            yield f"{name} has the moment {moment}, created at {x.created_at}"
            continue
        kinds = [x.spec.job_type] if x.task_id is None else [x.spec.job_type, terms.TASK]
        words = terms.of_kinds([x.state], kinds) + terms.of(x.metadata, x.child_of)
        wanted.setdefault(x.tenant, set()).update(f"{word}{int(moment):013x}" for word in words)
        pending = name in view.members(f"t:{x.tenant}:pending")
        yield from _is(f"{name} ({x.state}) in pending", pending, x.state == "pending")
    for tenant, words in wanted.items():
        there = view.members(f"t:{tenant}:terms")
        if there != words:
            yield f"terms of {tenant}: {there - words} too many, {words - there} are missing"
        for name in view.members(f"t:{tenant}:x") | view.members(f"t:{tenant}:pending"):
            if {"expiring", "deleting"} & set(view.executions.get(name, {"expiring": ""})):
                yield f"{name} in a list of {tenant} without a record"


def _families(view: View) -> Iterator[str]:
    """Open are those children that have not ended, and no others."""
    for name, x in view.executions.items():
        if "child_of" in x and "row" not in x:
            is_open = name in view.members(f"x:{x['child_of']}:open")
            yield from _is(f"{name} ({x['state']}) open", is_open, "completed_at" not in x)
    for key in view.client.scan_iter("knify:x:*:open"):
        for name in view.client.zrange(key, 0, -1):
            if "completed_at" in view.executions.get(name, {"completed_at": ""}):
                yield f"{name} in {key} has ended"
        at_work = view.members(key.removeprefix(keys.PREFIX).replace(":open", ":work"))
        yield from (f"{name} at work is not open" for name in at_work - view.members(key[6:]))
    for key in view.client.scan_iter("knify:x:*:work"):
        if not view.client.exists(key.replace(":work", ":open")):
            yield f"{key} without open children"


def _nodes(view: View) -> Iterator[str]:
    for node in view.nodes:
        for what in ("sandboxes", "paused", "hot"):
            for name in view.members(f"node:{node}:{what}") - set(view.sandboxes):
                yield f"{name} in {what} of {node} without a record"
        for name in view.members(f"node:{node}:active"):
            x = view.executions.get(name, {})
            if x.get("node") != node or "completed_at" in x:
                yield f"{name} active on {node}, which is wrong"
    for key in view.client.scan_iter("knify:line:*"):
        for name in view.client.zrange(key, 0, -1):
            if view.executions.get(name, {}).get("line") != key.split(":")[2]:
                yield f"{name} stands in {key} and does not know it"

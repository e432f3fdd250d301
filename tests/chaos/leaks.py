"""What is left when nothing is under way any more: containers, keys, files, threads, memory."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from knify import clock, errors, model
from knify.core import Core
from knify.host import podman
from knify.store import codec, keys
from tests.chaos.history import Violation
from tests.parts.stack import Stack

QUIET = 60.0  # seconds in which everything that follows an end has to happen

#: Kinds of keys that may be there, and which of them count something.
_KINDS: dict[str, re.Pattern[str]] = {
    kind: re.compile(pattern)
    for kind, pattern in {
        "executions": r"knify:x:[^:]+",
        "histories": r"knify:x:[^:]+:events",
        "outputs": r"knify:x:[^:]+:(output|typed)",
        "sandboxes": r"knify:s:[^:]+",
        "definitions": r"knify:d:[^:]+(:(runs|counts|spans|ends|good|bad))?",
        "due": r"knify:cron",
        "idempotency": r"knify:idem:.+",
        "replays": r"knify:replay:.+",
        "segments": r"knify:x:[^:]+:segments",
        "metrics": r"knify:x:[^:]+:metrics",
        "turns": r"knify:s:[^:]+:turns",
        "families": r"knify:s:[^:]+:jobs",
        "clocks": r"knify:(clock|epoch|rolled_at|watch|served|tally|fired|counts|minutes(:at)?)",
        "fixed": r"knify:(installation|schema|nodes|sandboxes:expiry|packed(:files)?|forgotten)",
        "nodes": r"knify:node:[^:]+:(beat|machine|images|sandboxes|used|capacity|hold|checkup)",
        "placement": r"knify:(image|trees):.+",
        "paused": r"knify:node:[^:]+:paused",
        "workspaces": r"knify:w:.+",
        "later": r"knify:objects:removals",
        "tenants": r"knify:t:[^:]+:(x|s|k|w|wv|wd|webhooks|secrets|terms|types|p|d)(:.+)?",
        "keys": r"knify:(k|rate|token):.+",
        "webhooks": r"knify:h:[^:]+(:(all|ended|d:.+))?",
        "broker": r"_kombu\..+|unacked.*|knify|knify\.node\..+|celery.*",
    }.items()
}
_OWNERS = {"executions": "x", "workspaces": "w", "sandboxes": "s"}
_THREADS, _FILES, _MEGABYTES = 24, 40, 150.0  # growth of one process that is no leak yet


@dataclass(frozen=True, slots=True)
class Use:
    """What one process holds."""

    threads: int
    files: int
    megabytes: float


def uses(stack: Stack) -> dict[str, Use]:
    """By part; of the API, its one serving child."""
    found = {}
    for pid, name in stack.processes().items():
        if name in ("worker", "api (child)"):
            status = Path(f"/proc/{pid}/status").read_text()
            resident = re.search(r"VmRSS:\s+(\d+)", status)
            found[name] = Use(
                len(list(Path(f"/proc/{pid}/task").iterdir())),
                len(list(Path(f"/proc/{pid}/fd").iterdir())),
                int(resident[1]) / 1000 if resident else 0.0,
            )
    return found


def check(
    stack: Stack, core: Core, before: dict[str, Use], executions: int, seconds: float = QUIET
) -> list[Violation]:
    """All leaks; those that time may heal are looked for until they are gone or time is up."""
    found: list[Violation] = []
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = look(stack, core, executions)
        except (redis.RedisError, errors.ObjectStoreError) as away:
            found = [_leak(f"nothing can be seen: {away}")]
        if not found or time.monotonic() > deadline:
            return found + list(_processes(before, uses(stack)))
        time.sleep(2)


def look(stack: Stack, core: Core, executions: int) -> list[Violation]:
    """What is wrong at this moment; much of it is so for a while only."""
    client, node = core.store.client, core.settings.node
    found = sandboxes(client)
    return [
        *redis_keys(client, node),
        *_counts(client, executions),
        *lists(client, node, found),
        *stored(core, found),
        *_podman(stack, node, client, found),
        *_files(stack),
    ]


def redis_keys(client: Any, node: str) -> Iterator[Violation]:
    """Whatever lives only as long as something is under way."""
    kinds: dict[str, list[str]] = {}
    for key in client.scan_iter(count=1000):
        kinds.setdefault(_kind(key), []).append(key)
    for kind, found in kinds.items():
        if kind not in _KINDS or kind in ("histories", "outputs", "segments", "turns"):
            yield _leak(f"{len(found)} keys such as {found[0]} are left")
    for kind, used in client.hgetall(keys.used(node)).items():
        if int(used):
            yield _leak(f"{used} of {kind} count as used")
    if client.hget(keys.hold(node), "id"):
        yield _leak(f"{node} is held for {client.hget(keys.hold(node), 'id')}")
    if client.exists(keys.ROLLED_AT):
        yield Violation("illegal", "", "a rollback of Redis was noticed, and there was none")


def _counts(client: Any, executions: int) -> Iterator[Violation]:
    kinds = Counter(_kind(key) for key in client.scan_iter(count=1000))
    for kind, count in (
        ("executions", kinds["executions"]),
        ("packed executions", client.zcard(keys.PACKED_FILES)),
    ):
        if count != executions:
            yield _leak(f"{count} {kind} in Redis, {executions} were asked for")
    for kind in ("sandboxes", "idempotency"):
        if kinds[kind] > executions:
            yield _leak(f"{kinds[kind]} keys of {kind} for {executions} executions")


def _kind(key: str) -> str:
    return next((kind for kind, form in _KINDS.items() if form.fullmatch(key)), key)


def sandboxes(client: Any) -> dict[str, model.Sandbox]:
    """All records."""
    found = {}
    for key in client.scan_iter(match="knify:s:*", count=1000):
        if _kind(key) == "sandboxes":
            sandbox = codec.sandbox(client.hgetall(key), key.rpartition(":")[2])
            found[sandbox.id] = sandbox
    return found


def lists(client: Any, node: str, found: dict[str, model.Sandbox]) -> Iterator[Violation]:
    """The node's lists of sandboxes against the records."""
    # A job that was cancelled while it was provisioned leaves one in creating, until it expires.
    living = ("creating", "active", "paused")
    here = {s.id for s in found.values() if s.node == node and s.state in living}
    paused = {s.id for s in found.values() if s.node == node and s.state == "paused"}
    for name, listed, wanted in (
        ("sandboxes", client.smembers(keys.located(node)), here),
        ("paused", set(client.zrange(keys.paused(node), 0, -1)), paused),
    ):
        for id_ in sorted(listed ^ wanted):
            state = found[id_].state if id_ in found else "missing"
            verb = "stands" if id_ in listed else "stands not"
            yield _leak(f"{id_} is {state} and {verb} in the list {name}")
    for sandbox in found.values():
        if sandbox.hot_until and sandbox.state == "paused":
            yield _leak(f"{sandbox.id} is still hot")
        # Its only turn ended before it was made; its expiry is what is left to happen.
        stays = sandbox.state == "creating" and not client.zscore(keys.EXPIRY, sandbox.id)
        # It may have expired since its record was read.
        if stays and client.hget(keys.sandbox(sandbox.id), "state") == "creating":
            yield _leak(f"{sandbox.id} will be made for nobody and never expires")


def objects(core: Core) -> list[str]:
    """The keys of all objects."""
    return [listed.key for kind in _OWNERS for listed in core.objects.list(kind)]


def stored(core: Core, found: dict[str, model.Sandbox]) -> Iterator[Violation]:
    """Objects that no record names, and records whose objects are not there.

    All is asked again before it is said: records and objects come and go meanwhile.
    """
    client = core.store.client
    there = set(objects(core))
    for key in sorted({s.archive for s in found.values() if s.archive} - there):
        if _is_needed(core, key) and not _is_there(core, key):
            yield _leak(f"the archive {key} is not there")
    late = core.store.sandboxes.old_objects(clock.now_ms() - 5_000)
    if late:
        yield _leak(f"{len(late)} objects should be gone, such as {late[0]}")
    strays = [key for key in there if not _is_named(core, key) and _is_there(core, key)]
    if strays:
        yield _leak(f"{len(strays)} objects that no record names, such as {min(strays)}")
    ended = [key for key in there if key.endswith("/baseline") and _is_there(core, key)]
    if ended and not client.zcard(keys.DUE):
        yield _leak(f"{len(ended)} objects that packing should have removed: {ended[0]}")


def _is_there(core: Core, key: str) -> bool:
    try:
        core.objects.stat(key)
    except errors.ObjectMissing:
        return False
    return True


def _is_needed(core: Core, key: str) -> bool:
    """Whether it is all that there is of a sandbox."""
    found = core.store.sandboxes.find(key.split("/")[1])
    return found is not None and found.state == "archived" and found.archive == key


def _is_named(core: Core, key: str) -> bool:
    """Whether a record names it now, or the list of what is to be deleted does."""
    kind, name, *_ = key.split("/")
    if kind != "sandboxes":
        owner = f"knify:{_OWNERS[kind]}:{name}"
        if core.store.client.exists(owner, f"{owner}:versions"):
            return True
    if core.store.client.zscore(keys.OBJECT_REMOVALS, key) is not None:
        return True
    found = core.store.sandboxes.find(name)
    return found is not None and key in (found.archive, found.archiving)


def _podman(
    stack: Stack, node: str, client: Any, sandboxes: dict[str, model.Sandbox]
) -> Iterator[Violation]:
    mark = (stack.home / "installation").read_text().strip()
    mine = ("--filter", f"label=knify.installation={mark}")
    conf = stack.containers_conf
    rows = podman.call("ps", "--all", *mine, "--format", "{{.Names}} {{.State}}", conf=conf)
    volumes = podman.call("volume", "ls", *mine, "--format", "{{.Name}}", conf=conf)
    if not (rows.ok and volumes.ok):
        yield _leak(f"podman does not list: {rows.reason} {volumes.reason}")
        return
    there = dict(line.split(" ", 1) for line in rows.out.splitlines() if line.strip())
    for name, state in there.items():
        sandbox = sandboxes.get(name.removeprefix("knify-"))
        if state in ("running", "paused"):
            yield _leak(f"{name} is {state} without a turn")
        if sandbox is None or sandbox.state in ("deleted", "archived"):
            yield _leak(f"{name} is there, its record is {sandbox and sandbox.state}")
    for sandbox in sandboxes.values():
        if sandbox.state in ("paused", "active") and f"knify-{sandbox.id}" not in there:
            yield _leak(f"{sandbox.id} is {sandbox.state} in Redis and not in Podman")
        if sandbox.state == "active":
            yield _leak(f"{sandbox.id} is active without a turn")
    pattern = re.compile(rf"knify-(?!{mark})(.+)-(workspace|home)")
    for volume in volumes.out.split():
        match = pattern.fullmatch(volume)
        if match and f"knify-{match[1]}" not in there:
            yield _leak(f"volume {volume} without a container")


def _files(stack: Stack) -> Iterator[Violation]:
    spool = [p for p in (stack.home / "spool").glob("*") if p.is_file()]
    if spool:
        yield _leak(f"{len(spool)} files in the spool")
    now = clock.now_ms() / 1000
    stray = [p for p in (stack.home / "objects").glob("~tmp/*") if now - p.stat().st_mtime > 120]
    if len(stray) > 50:  # a killed writer leaves one each; they go after a day
        yield _leak(f"{len(stray)} temporary files in the object store")


def _processes(before: dict[str, Use], after: dict[str, Use]) -> Iterator[Violation]:
    for name in before.keys() & after.keys():
        old, new = before[name], after[name]
        if (
            new.threads > old.threads + _THREADS
            or new.files > old.files + _FILES
            or new.megabytes > old.megabytes + _MEGABYTES
        ):
            yield _leak(f"{name}: {old} before, {new} after")


def _leak(text: str) -> Violation:
    return Violation("leaked", "", text)

"""What is left when nothing is under way any more: containers, keys, files, threads, memory."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knify import clock
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
        "outputs": r"knify:x:[^:]+:output",
        "sandboxes": r"knify:s:[^:]+",
        "idempotency": r"knify:idem:.+",
        "fixed": r"knify:(installation|schema|due|nodes|sandboxes:expiry|outbox)",
        "nodes": r"knify:node:[^:]+:(beat|active|removals)",
        "tenants": r"knify:t:[^:]+:(x|k|w|wv|webhooks)(:.+)?",
        "keys": r"knify:k:.+",
        "broker": r"_kombu\..+|unacked.*|knify|knify\.node\..+|celery.*",
    }.items()
}
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
    stack: Stack, client: Any, before: dict[str, Use], executions: int, seconds: float = QUIET
) -> list[Violation]:
    """All leaks; those that time may heal are looked for until they are gone or time is up."""
    found: list[Violation] = []
    deadline = time.monotonic() + seconds
    while True:
        found = [*_redis(stack, client, executions), *_podman(stack, client), *_files(stack)]
        if not found or time.monotonic() > deadline:
            return found + list(_processes(before, uses(stack)))
        time.sleep(2)


def _redis(stack: Stack, client: Any, executions: int) -> Iterator[Violation]:
    node = stack.settings.node
    for name, count in (
        ("due set", client.zcard(keys.DUE)),
        ("waiting line", client.zcard(keys.waiting()) + client.zcard(keys.waiting(node))),
        ("slots taken", client.scard(keys.active(node))),
        ("removals", client.scard(keys.removals(node))),
    ):
        if count:
            yield _leak(f"{name}: {count} left")
    kinds = Counter(_kind(key) for key in client.scan_iter(count=1000))
    for kind, count in kinds.items():
        if kind not in _KINDS:
            yield _leak(f"{count} keys such as {kind} are in no table")
    for kind in ("executions", "histories", "outputs"):
        if kinds[kind] != executions:
            yield _leak(f"{kinds[kind]} {kind} in Redis, {executions} were asked for")
    for kind in ("sandboxes", "idempotency"):
        if kinds[kind] > executions:
            yield _leak(f"{kinds[kind]} keys of {kind} for {executions} executions")


def _kind(key: str) -> str:
    return next((kind for kind, form in _KINDS.items() if form.fullmatch(key)), key)


def _podman(stack: Stack, client: Any) -> Iterator[Violation]:
    mark = (stack.home / "installation").read_text().strip()
    mine = ("--filter", f"label=knify.installation={mark}")
    conf = stack.containers_conf
    sandboxes = {}
    for key in client.scan_iter(match="knify:s:*", count=1000):
        if _kind(key) == "sandboxes":
            sandbox = codec.sandbox(client.hgetall(key))
            sandboxes[sandbox.id] = sandbox
    rows = podman.call("ps", "--all", *mine, "--format", "{{.Names}} {{.State}}", conf=conf)
    volumes = podman.call("volume", "ls", *mine, "--format", "{{.Name}}", conf=conf)
    if not (rows.ok and volumes.ok):
        yield _leak(f"podman does not list: {rows.reason} {volumes.reason}")
        return
    there = dict(line.split(" ", 1) for line in rows.out.splitlines() if line.strip())
    for name, state in there.items():
        sandbox = sandboxes.get(name.removeprefix("knify-"))
        if state == "running":
            yield _leak(f"{name} runs without a turn")
        if sandbox is None or sandbox.state in ("deleted",):
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
    look: Callable[[str], str] = lambda name: f"{name}: {before[name]} before, {after[name]} after"  # noqa: E731
    for name in before.keys() & after.keys():
        old, new = before[name], after[name]
        if (
            new.threads > old.threads + _THREADS
            or new.files > old.files + _FILES
            or new.megabytes > old.megabytes + _MEGABYTES
        ):
            yield _leak(look(name))


def _leak(text: str) -> Violation:
    return Violation("leaked", "", text)

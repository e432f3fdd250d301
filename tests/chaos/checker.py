"""Holds a history against the promises, in the manner of Jepsen's total-queue. Pure functions."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from knify.lifecycle import EXECUTION, TERMINAL, State
from tests.chaos.history import Seen, Violation, Wish


def check(wishes: Sequence[Wish], seen: Sequence[Seen]) -> list[Violation]:
    """Everything, once nothing moves any more."""
    by_key = {wish.key: wish for wish in wishes}
    found = [*lost(wishes, seen), *unexpected(by_key, seen), *idempotency(wishes, seen)]
    for one in seen:
        if one.key in by_key:
            found += job(by_key[one.key], one)
    return found


def job(wish: Wish, one: Seen) -> list[Violation]:
    """All that can be said of one execution alone."""
    checks = (outcome, doubled, illegal, dense, output, artifacts)
    return [violation for look in checks for violation in look(wish, one)]


def lost(wishes: Iterable[Wish], seen: Iterable[Seen]) -> Iterator[Violation]:
    """Accepted, but unknown or not terminal after the quiet period."""
    states = {one.id: one.state for one in seen}
    for wish in wishes:
        for id_ in dict.fromkeys(wish.ids):
            if id_ not in states:
                yield Violation("lost", id_, "was accepted and is not there")
            elif states[id_] not in TERMINAL:
                yield Violation("lost", id_, f"is still {states[id_]}")


def unexpected(by_key: dict[str, Wish], seen: Iterable[Seen]) -> Iterator[Violation]:
    """There, though nobody asked for it or its request was refused."""
    for one in seen:
        if one.key not in by_key:
            yield Violation("unexpected", one.id, "nobody asked for it", one.span)
        elif by_key[one.key].refused:
            yield Violation("unexpected", one.id, "its request was refused", one.span)


def idempotency(wishes: Iterable[Wish], seen: Iterable[Seen]) -> Iterator[Violation]:
    """A key has one execution, and every answer to it names that one."""
    made = Counter(one.key for one in seen if one.key)
    for wish in wishes:
        if len(set(wish.ids)) > 1:
            yield Violation("idempotency", wish.ids[0], f"one key, many answers: {wish.ids}")
        if made[wish.key] > 1:
            first = wish.ids[0] if wish.ids else ""
            yield Violation("idempotency", first, f"{made[wish.key]} executions of one key")


def outcome(wish: Wish, one: Seen) -> Iterator[Violation]:
    """The end is one that the job or a fault explains, with exactly that reason."""
    if one.state not in TERMINAL:
        return
    error = one.error or ""
    if not any(one.state == s and re.fullmatch(p, error) for s, p in wish.allowed):
        yield Violation("unexpected", one.id, f"{wish.kind} ended {one.state}: {error!r}", one.span)


def doubled(wish: Wish, one: Seen) -> Iterator[Violation]:
    """The command was started twice, or the execution ended twice."""
    stages = Counter(event.stage for event in one.events)
    ends = sum(event.state in TERMINAL for event in one.events if event.state)
    said = sum(entry.line == f"start {wish.key}" for entry in one.entries)
    noted = one.starts.count(wish.key) if one.starts is not None else 0
    last = sum("completed" in entry.types for entry in one.entries)
    for what, count in (
        ("agent_started", stages["agent_started"]),
        ("terminal events", ends),
        ("starts printed", said),
        ("starts in the workspace", noted),
        ("last output entries", last),
    ):
        if count > 1:
            yield Violation("doubled", one.id, f"{count} {what}", one.span)
    if one.state == State.COMPLETED and wish.marked and not (noted if one.starts else said):
        yield Violation("unexpected", one.id, "completed and never started", one.span)


def illegal(wish: Wish, one: Seen) -> Iterator[Violation]:
    """A way through the states that the table does not know; a fence that fell."""
    path = [State(event.state) for event in one.events if event.state]
    if path[:1] != [State.PENDING]:
        yield Violation("illegal", one.id, f"begins with {path[:1]}", one.span)
    for here, there in itertools.pairwise(path):
        if there not in EXECUTION[here]:
            yield Violation("illegal", one.id, f"from {here} to {there}", one.span)
    if path and path[-1] != one.state:
        yield Violation("illegal", one.id, f"is {one.state}, its history {path[-1]}", one.span)
    if list(one.fences) != sorted(one.fences):
        yield Violation("illegal", one.id, f"fences {one.fences}", one.span)


def dense(wish: Wish, one: Seen) -> Iterator[Violation]:
    """Numbers without gap or double."""
    for what, numbers in (
        ("events", [event.n for event in one.events]),
        ("entries", [entry.seq for entry in one.entries]),
        ("lines", [entry.n for entry in one.entries if entry.n is not None]),
    ):
        if numbers != list(range(1, len(numbers) + 1)):
            yield Violation("output", one.id, f"{what} are numbered {_short(numbers)}", one.span)


def output(wish: Wish, one: Seen) -> Iterator[Violation]:
    """Counting lines: each once, in order, all of them when the job completed."""
    if one.state in TERMINAL and (not one.entries or "completed" not in one.entries[-1].types):
        yield Violation("output", one.id, "the last entry does not say the end", one.span)
    if not wish.counted or one.truncated:
        return
    for stream, word in (("stdout", "line"), ("stderr", "err")):
        lines = [e.line or "" for e in one.entries if e.stream == stream]
        lines = [line for line in lines if line.startswith(f"{word} ")]
        # A job that was stopped may have been in the middle of a line.
        whole = lines if one.state == State.COMPLETED else lines[:-1]
        wanted = [f"{word} {i}" for i in range(1, wish.counted + 1)]
        if whole != wanted[: len(whole)]:
            yield Violation("output", one.id, f"{stream}: {_short(lines)}", one.span)
        elif one.state == State.COMPLETED and len(whole) < wish.counted:
            text = f"{stream} ends at {len(whole)} of {wish.counted}"
            yield Violation("output", one.id, text, one.span)


def artifacts(wish: Wish, one: Seen) -> Iterator[Violation]:
    """What is served is what the job wrote."""
    if not wish.hashed or one.state != State.COMPLETED:
        return
    said = next((e.line.split()[1] for e in one.entries if (e.line or "")[:4] == "sum "), None)
    if said is None or one.hashes.get("out.bin") != said:
        text = f"the job wrote {said}, served is {one.hashes.get('out.bin')}"
        yield Violation("artifact", one.id, text, one.span)


def streamed(job_id: str, got: Sequence[int], lines: int) -> Iterator[Violation]:
    """A client whose connection was cut and resumed saw each line once."""
    if list(got) != list(range(1, lines + 1)):
        yield Violation("output", job_id, f"a resumed stream showed {_short(got)} of {lines}")


def _short(items: Sequence[object]) -> str:
    shown = ", ".join(map(str, items[:60]))
    return f"[{shown}{', …' if len(items) > 60 else ''}]"

"""The checker passes good histories and catches each kind of corruption."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.chaos import checker
from tests.chaos.history import CANCELLED, Entry, Event, Seen, Violation, Wish

PATH = ("pending", "staging", "provisioning", "ready", "running", "completing", "completed")


def wish(**changes: Any) -> Wish:
    return Wish(**({"key": "k", "kind": "count", "counted": 2, "ids": ["j", "j"]} | changes))


def seen(**changes: Any) -> Seen:
    stages = [(s if s != "running" else "agent_started", s) for s in PATH]
    events = tuple(Event(n, stage, state) for n, (stage, state) in enumerate(stages, 1))
    lines = [("stdout", "start k")]
    lines += [(s, f"{w} {i}") for i in (1, 2) for s, w in (("stdout", "line"), ("stderr", "err"))]
    lines.append(("stdout", "sum abc"))
    entries = tuple(Entry(n, n, stream, line) for n, (stream, line) in enumerate(lines, 1))
    last = Entry(len(lines) + 1, types=("completed",))
    good = Seen(
        "j", "k", "completed", None, events, (*entries, last), (1, 1, 3), ("k",), {"out.bin": "abc"}
    )
    return dataclasses.replace(good, **changes)


def kinds(found: list[Violation]) -> set[str]:
    return {violation.kind for violation in found}


def history(*states: str) -> tuple[Event, ...]:
    return tuple(Event(n, state, state) for n, state in enumerate(states, 1))


def without(entries: tuple[Entry, ...], line: str) -> tuple[Entry, ...]:
    kept = [e for e in entries if e.line != line]
    return tuple(dataclasses.replace(e, seq=i, n=i if e.n else None) for i, e in enumerate(kept, 1))


def test_a_good_history_has_no_violation() -> None:
    assert checker.check([wish(hashed=True)], [seen()]) == []


def test_a_cancelled_job_may_stop_anywhere() -> None:
    stopped = seen(
        state="cancelled",
        error="why",
        events=history("pending", "staging", "cancelled"),
        entries=(Entry(1, 1, "stdout", "line 1"), Entry(2, types=("completed",))),
        starts=(),
    )

    assert checker.check([wish(allowed=CANCELLED)], [stopped]) == []


E0 = seen().entries
V0 = seen().events
CORRUPTED: dict[str, tuple[str, Seen]] = {
    "not terminal": ("lost", seen(state="running", events=V0[:5])),
    "a failure that nothing explains": (
        "unexpected",
        seen(state="failed", error="x", events=history("pending", "failed")),
    ),
    "never started": ("unexpected", seen(starts=(), entries=without(E0, "start k"))),
    "started twice": ("doubled", seen(starts=("k", "k"))),
    "printed its start twice": ("doubled", seen(entries=(E0[0], *E0))),
    "two launches": ("doubled", seen(events=(*V0, Event(8, "agent_started")))),
    "two ends": ("doubled", seen(events=(*V0, Event(8, "completed", "completed")))),
    "two last entries": ("doubled", seen(entries=(*E0, Entry(8, types=("completed",))))),
    "a state left out": ("illegal", seen(events=history("pending", "running", "completed"))),
    "a way back": ("illegal", seen(events=history(*PATH[:5], "ready", *PATH[4:]))),
    "a record beside its history": ("illegal", seen(events=V0[:-1])),
    "a fence that fell": ("illegal", seen(fences=(2, 1))),
    "an event that is missing": ("output", seen(events=(*V0[:1], *V0[2:]))),
    "a line that is missing": ("output", seen(entries=without(E0, "line 1"))),
    "lines at the end that are missing": ("output", seen(entries=without(E0, "err 2"))),
    "lines out of order": ("output", seen(entries=(E0[2], *E0[1:2], *E0[:1], *E0[3:]))),
    "an entry that is missing": ("output", seen(entries=(*E0[:2], *E0[3:]))),
    "no last entry": ("output", seen(entries=E0[:-1])),
    "another file": ("artifact", seen(hashes={"out.bin": "abd"})),
    "no file": ("artifact", seen(hashes={})),
}


@pytest.mark.parametrize("what", CORRUPTED)
def test_a_corrupted_history_is_caught(what: str) -> None:
    kind, corrupted = CORRUPTED[what]

    assert kind in kinds(checker.check([wish(hashed=True)], [corrupted]))


def test_an_accepted_job_that_is_not_there_is_lost() -> None:
    assert kinds(checker.check([wish()], [])) == {"lost"}


def test_a_job_that_nobody_asked_for_is_unexpected() -> None:
    assert kinds(checker.check([], [seen()])) == {"unexpected"}
    assert "unexpected" in kinds(checker.check([wish(ids=[], refused=True)], [seen()]))


def test_a_key_with_two_executions_or_two_answers_is_caught() -> None:
    twice = [seen(), seen(id="i")]

    assert "idempotency" in kinds(checker.check([wish()], twice))
    assert "idempotency" in kinds(checker.check([wish(ids=["j", "i"])], twice))


def test_a_request_whose_answer_was_lost_may_have_made_its_job() -> None:
    assert checker.check([wish(ids=[])], [seen()]) == []


def test_a_resumed_stream_with_a_gap_or_a_double_is_caught() -> None:
    assert list(checker.streamed("j", [1, 2, 3], 3)) == []
    for got in ([1, 3], [1, 2, 2, 3], [1, 2], [2, 1, 3]):
        assert kinds(list(checker.streamed("j", got, 3))) == {"output"}

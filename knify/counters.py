"""What workers and gateways count for `/metrics`: in memory here, and now and then in Redis.

Counting never waits and never fails. Who is killed takes what he counted since the last time,
some ten seconds, with him. Names and values of labels are a table: there are only so many.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

#: How often what was counted is added up.
SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Counter:
    """One figure that only grows."""

    words: str
    label: str = ""
    values: tuple[str, ...] = ()  # of the label; anything else is `other`


@dataclass(frozen=True, slots=True)
class Histogram:
    """How long something took."""

    words: str
    bounds: tuple[float, ...]  # seconds, upper ones


OPERATIONS: Final = (
    *("create", "attach", "reattach", "freeze", "thaw", "stop", "remove", "rebuild", "unpack"),
    "seed",
)
COUNTERS: Final = {
    "knify_fences_refused": Counter(
        "Changes by who had lost the lease in the meantime: none of them was made."
    ),
    "knify_step_failures": Counter("Steps of jobs that the host failed; they are tried again."),
    "knify_executions_lost": Counter("Jobs that ended since their node was away for too long."),
    "knify_sweeps": Counter("Looks for what is due."),
    "knify_swept": Counter("Jobs that a sweep found due and free."),
    "knify_sandbox_operations": Counter(
        "What Podman was asked to do and did.", "operation", OPERATIONS
    ),
    "knify_sandbox_operation_failures": Counter(
        "What it did not do.", "operation", OPERATIONS
    ),
    "knify_sandbox_operation_time_seconds": Counter(
        "How long Podman took for it, together.", "operation", OPERATIONS
    ),
    "knify_webhook_attempts": Counter(
        "Attempts to deliver an event.", "outcome", ("delivered", "again", "failed", "gone")
    ),
    "knify_webhook_attempt_time_seconds": Counter("How long receivers took, together."),
    "knify_gateway_connections": Counter("Connections out of sandboxes."),
    "knify_gateway_told": Counter(
        "What gateways told in histories of jobs, once for each job and reason.", "stage",
        ("egress_refused", "model_refused", "model_error", "tool_refused", "budget_exceeded"),
    ),
    "knify_model_calls": Counter("Calls of models whose usage is settled."),
    "knify_model_tokens": Counter(
        "Tokens of these.", "kind", ("input", "cached", "written", "output")
    ),
    "knify_model_cost_dollars": Counter("What these cost by the table of prices."),
}  # fmt: skip
HISTOGRAMS: Final = {
    "knify_execution_start_seconds": Histogram(
        "From a job's acceptance to the start of its command.",
        (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
    ),
    "knify_execution_run_seconds": Histogram(
        "From the start of a job's command to the job's end.",
        (0.5, 1, 5, 15, 60, 300, 900, 3600, 14400, 43200),
    ),
}

_lock = threading.Lock()
_counts: dict[str, float] = {}


def add(name: str, amount: float = 1, label: str = "") -> None:
    """Count. What does not grow is left out."""
    known = COUNTERS[name]
    if amount <= 0:
        return
    if known.label and label not in known.values:
        label = "other"
    _add({field(name, label): amount})


def observe(name: str, seconds: float) -> None:
    """One that took so long."""
    bounds = HISTOGRAMS[name].bounds
    place = next((f"{bound:g}" for bound in bounds if seconds <= bound), "+Inf")
    _add({field(name, place): 1, field(name, "sum"): max(0.0, seconds)})


def field(name: str, label: str = "") -> str:
    """Under which Redis keeps it."""
    return f"{name} {label}".rstrip()


def take() -> dict[str, float]:
    """What was counted since the last time, by its field in Redis."""
    global _counts
    with _lock:
        taken, _counts = _counts, {}
    return taken


def give_back(counts: Mapping[str, float]) -> None:
    """It was not kept: the next time takes it again."""
    _add(counts)


def split(counts: Mapping[str, float], name: str) -> Iterator[tuple[str, float]]:
    """(label or bucket, value) of what Redis keeps of one name."""
    for key, value in counts.items():
        found, _, label = key.partition(" ")
        if found == name:
            yield label, value


def _add(counts: Mapping[str, float]) -> None:
    with _lock:
        for key, amount in counts.items():
            _counts[key] = _counts.get(key, 0) + amount

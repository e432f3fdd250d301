"""What a run found, as a table for a person and as docs/faults.md."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from knify import __version__
from knify.host import podman
from tests.chaos.history import Violation
from tests.chaos.load import Load
from tests.chaos.nemesis import Row
from tests.parts.stack import Stack

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
_AROUND = 25  # lines of logs with a job's id
_IDS = re.compile(r"(?:job|sandbox)_[a-z0-9]+")
_HEADINGS = ("injected", "lost", "doubled", "illegal", "leaked", "recovery p50", "p99")


@dataclass
class Result:
    """One run."""

    seed: int
    minutes: float
    jobs: dict[str, int]
    rows: list[Row]
    violations: list[Violation]
    answers: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """No promise was broken."""
        return not self.violations


def table(result: Result) -> list[str]:
    """Markdown rows, one for each kind of fault."""
    lines = ["| fault | " + " | ".join(_HEADINGS) + " |", "|---|" + "--:|" * len(_HEADINGS)]
    for row in sorted(result.rows, key=lambda row: row.name):
        counts = [_count(result.violations, row, kinds) for kinds in _COLUMNS]
        times = [_percentile(row.recoveries, share) for share in (0.5, 0.99)]
        lines.append(f"| {row.name} | {row.injected} | {' | '.join([*map(str, counts), *times])} |")
    lines.append(
        "| a reboot of the machine (`tests/stack/test_reboot.py` does it) | not run | | | | | | |"
    )
    return lines


_COLUMNS = (
    ("lost",),
    ("doubled", "idempotency"),
    ("illegal", "unexpected", "output", "artifact", "usage"),
    ("leaked",),
)


def page(results: Sequence[Result], scripted: Iterable[str] = ()) -> str:
    """docs/faults.md."""
    result = results[0]
    faults = sum(row.injected for row in result.rows)
    jobs = sum(result.jobs.values())
    version = podman.version() or "none"
    return "\n".join(
        [
            "# Faults",
            "",
            "Written by `make chaos`, not by hand. It starts the real stack, lets users work,",
            "hurts one part after the other, and holds what became of every job against the",
            "promises of [trust.md](trust.md), in the manner of Jepsen's total-queue",
            "(`tests/chaos/checker.py`).",
            "",
            f"- {time.strftime('%Y-%m-%d')}, version {__version__}, seed {result.seed},"
            f" {result.minutes:.0f} minutes",
            f"- {os.cpu_count()} cores, Podman {version}",
            f"- {faults} faults, {jobs} real jobs: "
            + ", ".join(f"{n} {kind}" for kind, n in sorted(result.jobs.items())),
            f"- violations: {len(result.violations)}",
            *(f"- {line}" for line in [*result.notes, *scripted]),
            "",
            "*Recovery* is the time in seconds from the moment at which the fault is healed until",
            "a job of the load ends again; the users' own waiting between two looks is part of it.",
            "*illegal* counts histories, outputs, artifacts and ends that no fault explains. Leaks",
            "are looked for once, after the run; they belong to no single fault.",
            "",
            *table(result),
            "",
        ]
    )


def note_scripted(summary: str) -> None:
    """Replace the page's line about the scripted run, or add it."""
    lines = [line for line in PAGE.read_text().splitlines() if not line.startswith("- scripted:")]
    at = next(n for n, line in enumerate(lines) if line.startswith("- violations:")) + 1
    PAGE.write_text("\n".join([*lines[:at], f"- {summary}", *lines[at:], ""]))


def violations(result: Result, load: Load, stack: Stack, most: int = 20) -> Iterable[str]:
    """Each with its job's history and what the logs say of it."""
    user = load.user()
    for number, violation in enumerate(result.violations):
        yield f"\n{violation}"
        if number >= most:
            continue
        if violation.job:
            one = user.seen(violation.job)
            yield f"  {one.state} {one.error!r} " + " > ".join(e.stage for e in one.events)
            x = user.store.executions.find(violation.job)
            yield f"  {json.dumps(x.request) if x else 'no record'}"
        ids = _IDS.findall(f"{violation.job} {violation.text}")
        for log in sorted((stack.home / "logs").glob("*.log")) if ids else ():
            with log.open(errors="replace") as lines:
                found = deque((line for line in lines if any(i in line for i in ids)), _AROUND)
            yield from (f"  {log.stem}: {line.strip():.300}" for line in found)
    if result.violations:
        kept = Path(tempfile.mkdtemp(prefix="knify-chaos-logs-"))
        shutil.copytree(stack.home / "logs", kept, dirs_exist_ok=True)
        yield f"\nall logs are kept in {kept}"


def _count(found: Iterable[Violation], row: Row, kinds: tuple[str, ...]) -> int:
    """Violations of jobs that lived while a fault of this kind was felt."""
    return sum(
        violation.kind in kinds
        and any(
            violation.span[0] <= end and begun <= violation.span[1]
            for begun, end in row.spans
            if violation.span != (0, 0)
        )
        for violation in found
    )


def _percentile(values: list[float], share: float) -> str:
    if not values:
        return ""
    ordered = sorted(values)
    return f"{ordered[min(len(ordered) - 1, int(share * len(ordered)))]:.1f}"

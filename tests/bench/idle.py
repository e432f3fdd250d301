"""What a stack costs while nobody uses it."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from tests.parts.stack import Stack

QUIET = 30.0  # seconds of measuring
SETTLE = 10.0  # seconds after the last job: beat's first sweep, clean-ups

_TICKS = os.sysconf("SC_CLK_TCK")
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Idle:
    """By process; names may repeat, so the keys hold the process id."""

    cpu: dict[str, float]  # percent of one core
    memory: dict[str, float]  # MB of PSS: shared pages count once in the sum

    @property
    def cpu_percent(self) -> float:
        """Of one core, all processes together."""
        return sum(self.cpu.values())

    @property
    def megabytes(self) -> float:
        """All processes together."""
        return sum(self.memory.values())


def measure(stack: Stack, *, quiet: float = QUIET, settle: float = SETTLE) -> Idle:
    """Leave it alone, and see what it did."""
    time.sleep(settle)
    processes = stack.processes()
    before = {pid: cpu_seconds(pid) for pid in processes}
    began = time.monotonic()
    time.sleep(quiet)
    spent = time.monotonic() - began
    label = {pid: f"{name} {pid}" for pid, name in processes.items()}
    cpu = {label[p]: (cpu_seconds(p) - before[p]) / spent * 100 for p in processes}
    return Idle(cpu, {label[pid]: megabytes(pid) for pid in processes})


def cpu_seconds(pid: int) -> float:
    """User and system time, of ended children too: a process that starts others pays for them."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS


def megabytes(pid: int) -> float:
    match = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
    assert match is not None
    return int(match[1]) / 1000

"""`make bench`: what Knify costs, against floors measured in the same minutes.

Ratios and shares of a core are what counts; times in milliseconds are only for the reader.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.bench import agent, follow, fresh, gateway, idle, post_jobs, recovery, workspaces
from tests.parts import stack


@dataclass(frozen=True)
class Row:
    """One measured value; without a target it is only shown."""

    what: str
    measured: float
    unit: str = ""
    most: float | None = None
    least: float | None = None
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the target is met."""
        above = self.most is not None and self.measured > self.most
        return not above and not (self.least is not None and self.measured < self.least)

    def __str__(self) -> str:
        """A line of the table."""
        target = "" if self.most is None else f"≤ {self.most:g}{self.unit}"
        target = f"≥ {self.least:g}{self.unit}" if self.least is not None else target
        mark = "" if not target else "ok" if self.holds else "MISSED"
        return f"{self.what:34} {self.measured:7.2f}{self.unit:3} {target:9} {mark:7} {self.note}"


def main(arguments: list[str]) -> int:
    """Measure and print. 1 when a target is missed and `--strict` was given."""
    with stack.running() as running:
        rows = [*_idle(running), *_waiting(running)]
    with stack.running(KNIFY_HOT_SECONDS="60") as running, running.client() as client:
        _, hot = fresh.continued(client)
        rows.append(Row("continue → process started, hot", _ms(hot), " ms", most=100))
    rows += _workspaces()
    rows += [*_agents(), *_following(), *_recovering(), *_requests(), *_passing()]
    print(f"\n{'':34} {'measured':10} {'target':9}")
    print("\n".join(map(str, rows)))
    return 1 if "--strict" in arguments and not all(row.holds for row in rows) else 0


def _agents() -> list[Row]:
    with agent.running() as (running, image):
        ours, floor = agent.started(running, image)
    note = f"podman run: {_ms(floor):.0f} ms"
    return [Row("agent: POST → its process runs", _ms(ours), " ms", most=500, note=note)]


def _idle(running: stack.Stack) -> list[Row]:
    with running.client() as client:  # an idle stack is one that has worked before
        fresh.until(client, client.create_job(fresh.TRUE).job_id, "completed")
    found = idle.measure(running)
    print("idle, by process:")
    for name, percent in found.cpu.items():
        print(f"  {name:24} {percent:5.2f} % of a core   {found.memory[name]:6.1f} MB PSS")
    return [
        Row("idle CPU, of one core", found.cpu_percent, " %", most=1),
        Row("idle memory (PSS)", found.megabytes, " MB", most=400),
    ]


def _waiting(running: stack.Stack) -> list[Row]:
    found = fresh.fresh(running)
    print("a fresh sandbox, by stage:")
    for stage, spent in found.stages.items():
        print(f"  until {stage:18} {_ms(spent):6.1f} ms")
    floor = f"{_ms(found.ours):.0f} ms, podman run {_ms(found.podman):.0f} ms"
    with running.client() as client:
        (again, began), lines = fresh.continued(client), fresh.lines(client)
    return [
        Row("fresh sandbox ÷ podman run", found.ratio, most=1.5, note=floor),
        Row("continue → agent_started", _ms(again), " ms"),
        Row("continue → process started", _ms(began), " ms", most=300),
        Row("line printed → seen by client", _ms(lines), " ms"),
    ]


def _workspaces() -> list[Row]:
    with stack.running() as running, tempfile.TemporaryDirectory(prefix="kb-") as folder:
        found = workspaces.starts(running, Path(folder))
        moved = workspaces.transfer(running)
    none = f"without one {_ms(found.none):.0f} ms, first {found.first * 1000:.0f} ms"
    gib = f"up {moved.up:.0f} s, down {moved.down:.0f} s"
    return [
        Row("start with a workspace ÷ without", found.ratio, most=3, note=none),
        Row("1 GiB up and down: PSS grows by", moved.megabytes, " MB", most=40, note=gib),
        Row("… longest other request", moved.stall * 1000, " ms"),
    ]


def _following() -> list[Row]:
    found = follow.measure()
    each = f"{follow.MANY} sandboxes, a line a second each"
    return [
        Row("following: CPU of the worker", found.cpu_percent, " %", most=25, note=each),
        Row("following: memory (PSS)", found.megabytes, " MB", most=300),
        Row("line printed → in Redis, p50", found.delay(0.5) * 1000, " ms", most=20),
        Row("line printed → in Redis, p99", found.delay(0.99) * 1000, " ms", most=100),
    ]


def _recovering() -> list[Row]:
    found = recovery.measure()
    most = recovery.LEASE + recovery.SWEEP
    note = f"lease {recovery.LEASE:g} s, sweep {recovery.SWEEP:g} s, {recovery.KILLS} kills"
    return [
        Row("kill -9 worker → followed, p50", found[len(found) // 2], " s"),
        Row("kill -9 worker → followed, p99", found[int(0.99 * (len(found) - 1))], " s", most=most,
            note=note),
    ]  # fmt: skip


def _requests() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="kb-") as folder:
        found = post_jobs.measure(Path(folder))
    note = f"{found['ours']:.0f}/s, bare {found['bare']:.0f}/s"
    return [Row("POST /jobs ÷ bare Flask", found["ratio"], least=0.5, note=note)]


def _passing() -> list[Row]:
    found = gateway.measure()
    note = f"direct {_ms(found.direct):.1f} ms, through {_ms(found.through):.1f} ms"
    return [
        Row("gateway adds to a streamed call", found.added_ms, " ms", most=5, note=note),
        Row(f"gateway with {gateway.TUNNELS:,} tunnels (PSS)", found.megabytes, " MB", most=200,
            note=f"without {found.idle_megabytes:.0f} MB"),
    ]  # fmt: skip


def _ms(seconds: Iterable[float]) -> float:
    return statistics.median(seconds) * 1000


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A minute of chaos in every `make test`: the most telling faults, and crashes at some points."""

from __future__ import annotations

import pytest

from tests.chaos import agentfaults, faults, jobfaults, real, report, scripted

SEED = 20
TELLING = (
    faults.Killed("worker"),
    faults.Killed("redis"),
    faults.KillEverything(),
    faults.FrozenBeyondLease(),
    faults.AtAPoint(),
)


@pytest.mark.slow
@pytest.mark.stack
@pytest.mark.podman
@pytest.mark.timeout(900)
def test_a_minute_of_faults_loses_doubles_and_leaks_nothing() -> None:
    conmon = [fault for fault in jobfaults.JOB_FAULTS if "conmon" in fault.name]

    result = real.run(45, SEED, TELLING, [*conmon, *agentfaults.AGENT_FAULTS], least=1)

    assert result.violations == [], "\n".join(report.table(result))
    assert all(row.injected for row in result.rows)
    assert sum(result.jobs.values()) > 20


@pytest.mark.stack
@pytest.mark.timeout(900)
def test_crashes_at_some_failpoints_lose_double_and_leak_nothing() -> None:
    found = scripted.run(80, SEED, points=9)

    assert found.violations == []
    assert found.jobs >= 80


@pytest.mark.slow
@pytest.mark.stack
@pytest.mark.timeout(900)
def test_crashes_at_every_failpoint_lose_double_and_leak_nothing() -> None:
    found = scripted.run(300, SEED)

    assert found.violations == []
    assert found.silent == []
    assert found.jobs >= 300

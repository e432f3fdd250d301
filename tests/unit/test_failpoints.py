"""Failpoints: free when unset, one clear line when wrong, SIGKILL at exactly one pass."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from knify import errors, failpoints
from knify.lifecycle import State
from knify.sandbox import fake, fakehost

PASSES = "from knify import failpoints as f\nfor n in range(5): f.hit('step.launch','before')"


def run(code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("KNIFY_")} | environ
    command = [sys.executable, "-c", f"{code}\nprint('lived')"]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_without_the_variable_nothing_happens() -> None:
    driver = fake.FakeDriver(fakehost.FakeHost())

    assert run(PASSES).stdout == "lived\n"
    assert failpoints.around(driver) is driver


def test_the_process_dies_at_the_pass_that_was_asked_for() -> None:
    assert run(PASSES, KNIFY_FAILPOINT="step.launch:before:kill").returncode == -signal.SIGKILL
    assert run(PASSES, KNIFY_FAILPOINT="step.launch:before:kill:5").returncode == -signal.SIGKILL
    assert run(PASSES, KNIFY_FAILPOINT="step.launch:before:kill:6").stdout == "lived\n"
    assert run(PASSES, KNIFY_FAILPOINT="step.launch:after:kill").stdout == "lived\n"


def test_a_point_that_fired_once_lets_the_next_process_live(tmp_path: Path) -> None:
    marked = {
        "KNIFY_FAILPOINT": "step.launch:before:kill",
        "KNIFY_FAILPOINT_ONCE": str(tmp_path / "fired"),
    }

    assert run(PASSES, **marked).returncode == -signal.SIGKILL
    assert run(PASSES, **marked).stdout == "lived\n"


@pytest.mark.parametrize(
    "text",
    [
        "step.launch",
        "step.launch:during:kill",
        "step.launch:before:exit",
        "step.launch:before:kill:0",
        "step.launch:before:kill:x",
        "step.launch:before:kill:1:2",
        "script.nothing:before:kill",
    ],
)
def test_a_wrong_value_stops_the_start_with_one_line(text: str) -> None:
    with pytest.raises(errors.ConfigError, match="KNIFY_FAILPOINT"):
        failpoints.parse(text)
    stopped = run(PASSES, KNIFY_FAILPOINT=text)

    assert (stopped.returncode, stopped.stdout) == (1, "")
    assert len(stopped.stderr.strip().splitlines()) == 1


def test_every_step_of_the_runner_and_every_script_has_a_point() -> None:
    from knify.steps import Steps

    table = Steps(*[_Anything()] * 3).table  # type: ignore[arg-type]
    steps = {f"step.{step.__name__}" for step in table.values()}

    assert set(table) < set(State)
    assert steps | {"step.conclude", "step.end"} == {
        name for name in failpoints.names() if name.startswith("step.")
    }
    assert {"script.claim", "script.transition", "driver.run"} < set(failpoints.names())


class _Anything:
    def __getattr__(self, name: str) -> _Anything:
        return self

"""Requests made from /openapi.json, right and wrong ones, alone and in chains: server and
description say the same. `schemathesis.toml` and `checks.py` have every exception with its reason.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.openapi.live import Live

ROOT = Path(__file__).parents[2]


def run(live: Live, folder: Path, *options: str) -> int:
    """How many requests were made; all of them as they should be."""
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(ROOT / "schemathesis.toml"),
        "run", f"{live.url}/openapi.json", "--header", f"Authorization: Bearer {live.key}",
        "--no-color", "--continue-on-failure", "--request-timeout", "60", *options,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-20_000:]
    made = re.search(r"([\d,]+) generated", done.stdout)
    assert made is not None, done.stdout[-2_000:]
    return int(made[1].replace(",", ""))


@pytest.mark.timeout(600)
def test_the_server_does_what_its_description_says(live: Live, tmp_path: Path) -> None:
    made = run(live, tmp_path, "--phases", "examples,fuzzing,stateful", "--max-examples", "3")

    assert made > 100


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_the_server_does_what_its_description_says_thousands_of_times(
    live: Live, tmp_path: Path
) -> None:
    chains = run(live, tmp_path, "--phases", "fuzzing,stateful", "--max-examples", "30")
    # Of the bodies of jobs, the cases of this phase are too many to be made: these are drawn above.
    edges = run(
        live, tmp_path, "--phases", "examples,coverage",
        "--exclude-operation-id", "create_job", "--exclude-operation-id", "continue_job",
    )  # fmt: skip

    assert chains + edges >= 2_000

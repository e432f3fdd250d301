"""The console scripts, before there is anything that could tell of Ctrl-C."""

from __future__ import annotations

import subprocess
import sys

import pytest

PRESSED = """
import os, signal, sys
from knify.cli import start

signal.signal(signal.SIGINT, signal.default_int_handler)  # where tests run in the background, too

class Presses:
    def find_spec(self, name, path=None, target=None):
        if name == "knify.cli.main":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Presses())
sys.argv = ["knify", "--version"]
start.knify()
"""


@pytest.mark.parametrize("environ", [{}, {"_KNIFY_COMPLETE": "bash_complete"}])
def test_ctrl_c_during_imports_is_quiet(environ: dict[str, str]) -> None:
    code = f"import os; os.environ |= {environ}\n{PRESSED}"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")

"""Manifests to begin with, one for each agent."""

from __future__ import annotations

from typing import Final

_HEAD: Final = """\
version: "1"
kind: Task
metadata:
  name: {name}
  labels:
    team: platform
"""
_VM: Final = """\
vm:
  network_mode: isolated
lifecycle:
  timeout: 1h
"""
_ASKED: Final = """\
repository:
  url: https://github.com/example/service
  branch: main
agent:
  type: {agent}
  prompt: |
    The tests of the parser fail since the last release.
    Find out why, and mend it.
"""
_COMMAND: Final = """\
agent:
  type: command
  command: echo hello | tee hello.txt
"""
_RUNBOOK: Final = """\
agent:
  type: runbook
  prompt: |
    # Check the release

    First the tools.

    ```bash
    python3 --version
    ```
"""


def _asked(agent: str) -> str:
    return _HEAD.format(name="Mend the parser") + _ASKED.format(agent=agent) + _VM


#: By agent: what the page begins with.
EXAMPLES: Final[dict[str, str]] = {
    "command": _HEAD.format(name="Hello") + _COMMAND + _VM,
    "runbook": _HEAD.format(name="Check the release") + _RUNBOOK + _VM,
    **{agent: _asked(agent) for agent in ("claude", "cursor", "gemini", "codex")},
}

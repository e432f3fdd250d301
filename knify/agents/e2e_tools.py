"""`fh_e2e_tools`: a runbook that drives a browser, and a report of what the browser saw.

The runbook is one of the workspace, which the prompt names (`Create a user: @create-user.md`), or
the prompt itself. It runs as any runbook does; then, whether it failed or not, a program of ours
makes the report.
"""

from __future__ import annotations

import importlib.resources
import re
import shlex
from collections.abc import Iterator

from knify import errors, model
from knify.agents import base, runbook

_NAMED = re.compile(r"(?<![\w@])@([A-Za-z0-9][A-Za-z0-9._/-]*\.md)\b")
_FOLDER = "runbooks"
_MAX_NAMED = 20

_WRAPPER = """\
began=$("$bb" date +%s)
"$bb" sh "$here/driver.sh"
code=$?
if command -v python3 >/dev/null 2>&1; then
  python3 -I "$here/report.py" "$workspace" "$code" "$began" "$mark" </dev/null
fi
exit "$code"
"""


class E2E(runbook.Runbook):
    """The adapter: a runbook's, with another way to the runbook and a program behind it."""

    def prepare(
        self,
        spec: model.ExecutionSpec,
        workspace: base.WorkspaceReader,
        session_id: str | None = None,
    ) -> base.Plan:
        """See Adapter; BadRequest when the prompt names no runbook and is none."""
        text = _text(spec.prompt or "", workspace)
        plan = super().prepare(spec.evolve(prompt=text), workspace, session_id)
        report = importlib.resources.files("knify.agents.e2e").joinpath("report.py")
        more = {"e2e.sh": self._wrapper(), "report.py": report.read_bytes()}
        argv = (self._busybox, "sh", f"{base.TURN}/e2e.sh")
        return base.Plan(argv, plan.env, plan.files | more, title="Browser tests executing")

    def _wrapper(self) -> bytes:
        settings = {"bb": self._busybox, "mark": self._mark, "workspace": self._workspace}
        lines = [f"{name}={shlex.quote(value)}" for name, value in settings.items()]
        return "\n".join([*lines, "here=${0%/*}", _WRAPPER]).encode()


def _text(prompt: str, workspace: base.WorkspaceReader) -> str:
    """All runbooks that the prompt names, one behind the other; else the prompt."""
    named = list(dict.fromkeys(_NAMED.findall(prompt)))[:_MAX_NAMED]
    if named:
        return "\n\n".join(_found(name, workspace) for name in named)
    if "```" in prompt or "~~~" in prompt:
        return f"\n{prompt}"  # never taken for the name of a file
    raise errors.BadRequest(
        "without an agent the prompt must name a runbook of the workspace, such as "
        "@create-user.md, or be one"
    )


def _found(name: str, workspace: base.WorkspaceReader) -> str:
    for path in _places(name):
        try:
            content = workspace(path)
        except errors.NotFound:
            continue
        return runbook.decoded(path, content)
    raise errors.BadRequest(f"the workspace has no runbook {name}, nor {_FOLDER}/{name}")


def _places(name: str) -> Iterator[str]:
    if ".." in name.split("/"):
        raise errors.BadRequest(f"the runbook {name} is not below the workspace")
    yield name
    yield f"{_FOLDER}/{name}"

"""`fh_e2e_tools`: a runbook that drives a browser, and a report of what the browser saw.

The runbook is one of the workspace, which the prompt names (`Create a user: @create-user.md`), or
the prompt itself. It runs as any runbook does; then, whether it failed or not, a program of ours
makes the report.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import replace

from knify import errors, model
from knify.agents import base, packed, runbook

_NAMED = re.compile(r"(?<![\w@])@([A-Za-z0-9][A-Za-z0-9._/-]*\.md)\b")
_FOLDER = "runbooks"
_MAX_NAMED = 20

#: Who ends the job tells all of it, this shell too, which stays for the report.
_WRAPPER = """\
trap : TERM INT HUP
began=$("$bb" date +%s)
"$@"
code=$?
if command -v python3 >/dev/null 2>&1; then
  python3 -I "$here/report.pyz" "$workspace" "$code" "$began" "$mark" </dev/null
fi
exit "$code"
"""
_HINT = (
    "\n\n{runbooks}To drive the browser use `scripts/browser.py`, as `README.md` and the runbooks "
    "in `{folder}` do: the pictures of its sessions are put into `report.md` when you have ended."
)


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
        driver = (self._busybox, "sh", f"{base.TURN}/driver.sh")
        wrapper = _wrapper(self._busybox, self._workspace, self._mark)
        argv = (self._busybox, "sh", f"{base.TURN}/e2e.sh", *driver)
        files = plan.files | _files(wrapper)
        return base.Plan(argv, plan.env, files, title="Browser tests executing")


class Led(base.Around):
    """The adapter where an agent follows the prompt: all but the way there is that agent's."""

    def prepare(
        self,
        spec: model.ExecutionSpec,
        workspace: base.WorkspaceReader,
        session_id: str | None = None,
    ) -> base.Plan:
        """See Adapter; BadRequest when the prompt names a runbook that is not there."""
        prompt = (spec.prompt or "") + _hint(spec.prompt or "", workspace)
        plan = self._inner.prepare(spec.evolve(prompt=prompt), workspace, session_id)
        files = _files(_wrapper(base.BUSYBOX, base.WORKSPACE, ""))
        argv = (base.BUSYBOX, "sh", f"{base.TURN}/e2e.sh", *plan.argv)
        return replace(plan, argv=argv, files=plan.files | files)


def _wrapper(busybox: str, workspace: str, mark: str) -> bytes:
    """Runs its arguments, then makes the report; without a mark that says nothing."""
    settings = {"bb": busybox, "mark": mark, "workspace": workspace}
    lines = [f"{name}={shlex.quote(value)}" for name, value in settings.items()]
    return "\n".join([*lines, "here=${0%/*}", _WRAPPER]).encode()


def _files(wrapper: bytes) -> dict[str, bytes]:
    return {"e2e.sh": wrapper, "report.pyz": packed.program("knify.agents.e2e", "report")}


def _hint(prompt: str, workspace: base.WorkspaceReader) -> str:
    """Where the runbooks are that the prompt names, and how to use the browser."""
    found = {name: _found(name, workspace)[0] for name in _named(prompt)}
    runbooks = "".join(
        f"The runbook {name} is the file `{path}`.\n" for name, path in found.items()
    )
    return _HINT.format(runbooks=runbooks, folder=_FOLDER)


def _named(prompt: str) -> list[str]:
    return list(dict.fromkeys(_NAMED.findall(prompt)))[:_MAX_NAMED]


def _text(prompt: str, workspace: base.WorkspaceReader) -> str:
    """All runbooks that the prompt names, one behind the other; else the prompt."""
    named = _named(prompt)
    if named:
        return "\n\n".join(_found(name, workspace)[1] for name in named)
    if "```" in prompt or "~~~" in prompt:
        return f"\n{prompt}"  # never taken for the name of a file
    raise errors.BadRequest(
        "without an agent the prompt must name a runbook of the workspace, such as "
        "@create-user.md, or be one"
    )


def _found(name: str, workspace: base.WorkspaceReader) -> tuple[str, str]:
    """A runbook's path and text."""
    for path in _places(name):
        try:
            content = workspace(path)
        except errors.NotFound:
            continue
        return path, runbook.decoded(path, content)
    raise errors.BadRequest(f"the workspace has no runbook {name}, nor {_FOLDER}/{name}")


def _places(name: str) -> Iterator[str]:
    if ".." in name.split("/"):
        raise errors.BadRequest(f"the runbook {name} is not below the workspace")
    yield name
    yield f"{_FOLDER}/{name}"

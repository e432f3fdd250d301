"""Reads all sources of a plan, one after the other, and writes what they show.

Its lines to Knify begin with the plan's mark; all else that it prints is shown as it is.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from knify.agents import shown
from knify.agents.exam import (
    deadline,
    files,
    findings,
    http,
    plot,
    postgres,
    report,
    source,
    sqlite,
    times,
)

PLOT = "timeline.png"
_GRACE = 5.0  # seconds: readers that know when to stop say so themselves
READERS: dict[str, Callable[[source.Source, source.Wanted], source.Rows]] = {
    "csv": files.read,
    "parquet": files.read,
    "ndjson": files.read,
    "sqlite": sqlite.read,
    "http": http.read,
    "postgres": postgres.read,
}
Say = Callable[[dict[str, Any]], None]


def main(plan_path: str, agent: str = "") -> int:
    """The command: 0, however many sources could not be read.

    With an agent's name, what that one wrote is put into the report that there is already.
    """
    plan = json.loads(Path(plan_path).read_text())
    if agent:
        return 0 if report.add(Path(plan["wanted"]["workspace"]), agent) else 1

    def say(event: dict[str, Any]) -> None:
        sys.stdout.write(f"{plan['mark']} {json.dumps(event)}\n")
        sys.stdout.flush()

    examine(plan, say)
    return 0


def examine(plan: dict[str, Any], say: Say) -> dict[str, Any]:
    """Read, judge, and write `result.json`, `report.md` and the plot into the workspace."""
    plot.warm()
    wanted = source.Wanted(**plan["wanted"])
    step = findings.width(wanted)
    found = [_one(declared, wanted, step, say) for declared in plan["sources"]]
    result: dict[str, Any] = {
        "user_id": wanted.user_id,
        "time_range": {"from": times.text(wanted.start), "to": times.text(wanted.end)},
        "summary": _summary(found),
        "rows": sum(one.get("rows", 0) for one in found),
        "step_seconds": step / 1000,
        "sources": found,
    }
    folder = Path(wanted.workspace)
    drawn = _draw(result, step, folder / PLOT, say)
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    shown.write(folder / "result.json", text)
    shown.write(folder / "report.md", report.text(result, PLOT if drawn else None))
    say({"type": "agent_message", "message": result["summary"]})
    return result


def _one(declared: dict[str, Any], wanted: source.Wanted, step: int, say: Say) -> dict[str, Any]:
    """What one source shows, or why it could not be read."""
    name, kind = declared["name"], declared["kind"]
    parameters = {"source": name, "kind": kind}
    say({"type": "tool_use", "id": name, "tool": "read_source", "parameters": parameters})
    began = time.monotonic()
    try:
        rows = deadline.within(wanted.seconds + _GRACE, lambda: _read(declared, wanted))
        told = findings.of(rows, step)
    except source.SourceError as failed:
        told = {"status": "error", "error": str(failed)}
    except MemoryError:
        told = {"status": "error", "error": "more rows than the memory of this job holds"}
    except Exception as failed:  # a source may break its reader in any way, and only itself
        told = {"status": "error", "error": f"{type(failed).__name__}: {failed}"[:500]}
    took = round((time.monotonic() - began) * 1000)
    is_ok = told["status"] == "ok"
    output = f"{told['rows']:,} rows" if is_ok else told["error"]
    status = "success" if is_ok else "error"
    say(
        {"type": "tool_result", "id": name, "status": status, "output": output, "duration_ms": took}
    )
    return {"name": name, "kind": kind, **told, "seconds": took / 1000}


def _read(declared: dict[str, Any], wanted: source.Wanted) -> source.Rows:
    if declared.get("problem"):
        raise source.SourceError(declared["problem"])
    found = source.Source.of(declared)
    return READERS[found.kind](found, wanted)


def _summary(found: list[dict[str, Any]]) -> str:
    read = [one for one in found if one["status"] == "ok"]
    rows = sum(one["rows"] for one in read)
    odd = sum(len(one["anomalies"]) for one in read)
    words = f"{rows:,} {'row' if rows == 1 else 'rows'} in {len(read)} of {len(found)} sources"
    if len(read) < len(found):
        broken = ", ".join(one["name"] for one in found if one["status"] != "ok")
        words += f" (not read: {broken})"
    return f"{words}, {odd} out of the ordinary" if odd else words


def _draw(result: dict[str, Any], step: int, path: Path, say: Say) -> bool:
    """The plot is a help: without it the report stands all the same."""
    path.unlink(missing_ok=True)
    try:
        return plot.draw(result, step, path)
    except Exception as failed:
        message = f"the plot could not be drawn: {failed}"[:500]
        say({"type": "warning", "code": "PLOT", "message": message})
        return False

"""Makes `report.md` and `result.json` of what the sessions of a browser left; runs in the sandbox.

All of `e2e-results` was written by what was tested or tests: every value may be anything.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from knify.agents import shown

RESULTS = "e2e-results"
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LOUD = ("error", "pageerror", "requestfailed", "knify")
_SESSIONS, _SHOTS, _LINES = 100, 100, 20


def main(workspace: str, code: str, since: str, mark: str) -> int:
    """The command: a report of the sessions since then, for a run that ended with this code."""
    result = write(Path(workspace), int(code), float(since))
    if mark:  # an agent has its own last words
        event = {"type": "agent_message", "message": result["summary"]}
        sys.stdout.write(f"{mark} event {json.dumps(event)}\n")
    return 0


def write(workspace: Path, code: int, since: float) -> dict[str, Any]:
    """Write both files; the result."""
    sessions = _sessions(workspace / RESULTS, since)
    result = {
        "status": "failed" if code else "passed",
        "exit_code": code,
        "summary": _summary(sessions, code),
        "sessions": sessions,
    }
    shown.write(workspace / "result.json", json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    shown.write(workspace / "report.md", _text(result))
    return result


def _sessions(folder: Path, since: float) -> list[dict[str, Any]]:
    found = []
    for path in sorted(folder.glob("*/"))[:_SESSIONS]:
        try:
            told = path / "session.json"
            if not told.exists():
                found += _unfinished(path, since)
            elif told.stat().st_mtime >= since:
                found.append(_session(path, json.loads(told.read_text())))
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            continue
    return sorted(found, key=lambda one: one["began"])


def _unfinished(folder: Path, since: float) -> list[dict[str, Any]]:
    """A session that was ended before it could tell of itself: at a time limit, or by a crash."""
    shots = sorted(p for p in folder.glob("*.png") if p.lstat().st_mtime >= since)
    if not shots and folder.stat().st_mtime < since:
        return []
    named = [{"file": path.name, "title": path.stem, "url": ""} for path in shots]
    told = {"status": "failed", "error": "it did not come to its end", "shots": named}
    return [_session(folder, told)]


def _session(folder: Path, told: dict[str, Any]) -> dict[str, Any]:
    """One session, with only those files that are there."""
    shots = [
        {
            "file": file,
            "title": str(shot.get("title", ""))[:200],
            "url": str(shot.get("url", ""))[:500],
        }
        for shot in told.get("shots", [])[:_SHOTS]
        if (file := _there(folder, shot.get("file")))
    ]
    console = [
        {"type": str(line.get("type", ""))[:40], "text": str(line.get("text", ""))[:2_000]}
        for line in told.get("console", [])[:500]
    ]
    return {
        "name": folder.name,
        "began": folder.stat().st_ctime - float(told.get("seconds", 0)),
        "status": "failed" if told.get("status") != "passed" else "passed",
        "error": str(told.get("error") or "")[:2_000] or None,
        "seconds": float(told.get("seconds", 0)),
        "shots": shots,
        "console_errors": sum(line["type"] in _LOUD for line in console),
        "console": [line for line in console if line["type"] in _LOUD][:_LINES],
        "files": [f for name in told.get("files", [])[:10] if (f := _there(folder, name))],
    }


def _there(folder: Path, name: Any) -> str | None:
    """The file's path from the workspace, if it is a plain file of this session."""
    if not isinstance(name, str) or not _FILE.fullmatch(name) or not _FILE.fullmatch(folder.name):
        return None
    path = folder / name
    return f"{RESULTS}/{folder.name}/{name}" if path.is_file() and not path.is_symlink() else None


def _summary(sessions: list[dict[str, Any]], code: int) -> str:
    failed = [one["name"] for one in sessions if one["status"] == "failed"]
    shots = sum(len(one["shots"]) for one in sessions)
    words = f"{_count(len(sessions), 'browser session')}, {_count(shots, 'screenshot')}"
    loud = sum(one["console_errors"] for one in sessions)
    if loud:
        words += f", {_count(loud, 'error')} in the console"
    if failed:
        words += f"; failed: {', '.join(failed)[:300]}"
    return words if failed or not code else f"{words}; the run ended with exit code {code}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def _text(result: dict[str, Any]) -> str:
    lines = [f"# Browser tests: {result['status']}", "", shown.plain(result["summary"])]
    for one in result["sessions"]:
        lines += [
            "",
            f"## {shown.plain(one['name'])}: {one['status']}",
            "",
            f"{one['seconds']:.1f} s",
        ]
        if one["error"]:
            lines += ["", f"> {shown.plain(one['error'])}"]
        for shot in one["shots"]:
            lines += [
                "",
                f"{shown.plain(shot['title'])}",
                "",
                f"![{shown.plain(shot['title'])}]({shot['file']})",
            ]
        if one["files"]:
            links = [f"[{name.rpartition('/')[2]}]({name})" for name in one["files"]]
            lines += ["", "Recorded: " + ", ".join(links)]
        if one["console"]:
            lines += ["", "Console:", ""]
            lines += [
                f"- {shown.plain(line['type'])}: {shown.plain(line['text'])}"
                for line in one["console"]
            ]
    return "\n".join(lines) + "\n"

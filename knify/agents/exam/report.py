"""`report.md`, for people. What comes from data is shown as text, whatever it holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from knify.agents import shown
from knify.agents.shown import plain

NAME, SUMMARY = "report.md", "summary.md"
_BYTES = 64 * 1024  # of a summary
_LARGEST = 16 * 1024**2  # of a report


def text(result: dict[str, Any], plot: str | None) -> str:
    """The whole report; `plot` is the picture beside it."""
    span = result["time_range"]
    lines = [
        f"# User {plain(result['user_id'])}",
        "",
        f"{span['from']} to {span['to']}: {result['summary']}",
        "",
    ]
    if plot:
        lines += [f"![Rows of all sources over time]({plot})", ""]
    lines += ["| source | kind | rows | first | last | remarks |", "|---|---|--:|---|---|---|"]
    lines += [_row(found) for found in result["sources"]]
    for found in result["sources"]:
        lines += _section(found)
    return "\n".join(lines) + "\n"


def _row(found: dict[str, Any]) -> str:
    if found["status"] != "ok":
        cells = ["", "", "", f"not read: {plain(found['error'])}"]
    else:
        remarks = ", ".join(dict.fromkeys(a["kind"].replace("_", " ") for a in found["anomalies"]))
        cells = [f"{found['rows']:,}", found["first"] or "", found["last"] or "", remarks]
    return "| " + " | ".join([plain(found["name"]), found["kind"], *cells]) + " |"


def _section(found: dict[str, Any]) -> list[str]:
    if found["status"] != "ok":
        return []
    lines = ["", f"## {plain(found['name'])}"]
    if not found["rows"]:
        lines += ["", "No rows of this user in this time."]
    if found["outside_range"]:
        lines += ["", f"{found['outside_range']:,} rows of this user are of other times."]
    if found["anomalies"]:
        lines += ["", "Out of the ordinary:", ""]
        lines += [f"- {_anomaly(anomaly)}" for anomaly in found["anomalies"]]
    if found.get("labels"):
        lines += ["", "| value | rows |", "|---|--:|"]
        lines += [f"| {plain(name)} | {count:,} |" for name, count in found["labels"].items()]
    return lines


def _anomaly(anomaly: dict[str, Any]) -> str:
    span = " to ".join(anomaly[end] for end in ("from", "to") if end in anomaly)
    return (
        f"{anomaly['kind'].replace('_', ' ')}{f' ({span})' if span else ''}: {anomaly['message']}"
    )


def add(folder: Path, agent: str) -> bool:
    """Put an agent's summary behind the report, quoted; False when there is none."""
    try:
        summary = _read(folder / SUMMARY)[:_BYTES].decode("utf-8", "replace").strip()
        report = _read(folder / NAME).decode("utf-8", "replace")
    except OSError:
        return False
    if not summary:
        return False
    lines = [f"> {_tame(line)}".rstrip() for line in summary.splitlines()]
    head = ["", f"## Summary by {plain(agent)}", ""]
    shown.write(folder / NAME, report + "\n".join([*head, *lines]) + "\n")
    return True


def _tame(line: str) -> str:
    """An agent's Markdown, without HTML and without pictures from elsewhere."""
    text = "".join(c if c.isprintable() else " " for c in line)
    return text.replace("<", "&lt;").replace("![", "!\\[")


def _read(path: Path) -> bytes:
    """A plain file's content; what an agent left there may be a link."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        return file.read(_LARGEST)

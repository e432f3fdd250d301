"""`report.md`, for people. What comes from data is shown as text, whatever it holds."""

from __future__ import annotations

import re
from typing import Any

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&])")


def text(result: dict[str, Any], plot: str | None) -> str:
    """The whole report; `plot` is the picture beside it."""
    span = result["time_range"]
    lines = [
        f"# User {_plain(result['user_id'])}",
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
        cells = ["", "", "", f"not read: {_plain(found['error'])}"]
    else:
        remarks = ", ".join(dict.fromkeys(a["kind"].replace("_", " ") for a in found["anomalies"]))
        cells = [f"{found['rows']:,}", found["first"] or "", found["last"] or "", remarks]
    return "| " + " | ".join([_plain(found["name"]), found["kind"], *cells]) + " |"


def _section(found: dict[str, Any]) -> list[str]:
    if found["status"] != "ok":
        return []
    lines = ["", f"## {_plain(found['name'])}"]
    if not found["rows"]:
        lines += ["", "No rows of this user in this time."]
    if found["outside_range"]:
        lines += ["", f"{found['outside_range']:,} rows of this user are of other times."]
    if found["anomalies"]:
        lines += ["", "Out of the ordinary:", ""]
        lines += [f"- {_anomaly(anomaly)}" for anomaly in found["anomalies"]]
    if found.get("labels"):
        lines += ["", "| value | rows |", "|---|--:|"]
        lines += [f"| {_plain(name)} | {count:,} |" for name, count in found["labels"].items()]
    return lines


def _anomaly(anomaly: dict[str, Any]) -> str:
    span = " to ".join(anomaly[end] for end in ("from", "to") if end in anomaly)
    return (
        f"{anomaly['kind'].replace('_', ' ')}{f' ({span})' if span else ''}: {anomaly['message']}"
    )


def _plain(value: Any) -> str:
    """One line that Markdown and HTML show as it is."""
    shown = " ".join(str(value).split())
    return _SPECIAL.sub(r"\\\1", "".join(c if c.isprintable() else "\ufffd" for c in shown))

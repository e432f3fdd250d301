"""The page of a job: what it said and printed, its files, its history, and how to go on."""

from __future__ import annotations

from typing import Any, Final

import flask

from api import aside, context
from api.console import blueprint, conversation, jobfiles, joblines, jobwords, shown
from knify import model
from knify.core import Core
from knify.lifecycle import TERMINAL, State
from knify.services import history, jobs

_VIEWS: Final = ("conversation", "output", "files", "events")
_PLAIN: Final = 200  # rows that are shown without scripts


@blueprint.page("/jobs/<job_id>")
def get_job(job_id: str) -> flask.Response:
    """The page, or for a script its parts that change."""
    return show(joblines.find(job_id))


@blueprint.page("/jobs/<job_id>/conversation")
def get_conversation(job_id: str) -> flask.Response:
    """More of the conversation: behind `after`, or the part before `before`."""
    core, x = context.core(), joblines.find(job_id)
    after, before = (flask.request.args.get(name, "") for name in ("after", "before"))
    if before.isdecimal():
        page = conversation.before(core, x, min(int(before[:15]), x.entries))
    else:
        page = conversation.behind(core, x, int(after[:15]) if after.isdecimal() else 0)
    return blueprint.render("job_said.html", page=page, x=x)


def show(x: model.Execution, code: int = 200, **typed: str) -> flask.Response:
    """The page as it is now; `typed`: what is in the box at its end."""
    core = context.core()
    read = aside.reader(x.tenant)
    x = history.whole(core, x, aside=read)
    view = _view(x)
    sandbox = core.store.sandboxes.find(x.sandbox_id or "")
    words: dict[str, Any] = {
        "x": x,
        "status": shown.status(x),
        "is_over": x.state in TERMINAL,
        "in_line": x.state is State.PENDING,
        "wait": jobs.waiting(core, [x]).get(x.id),
        "view": view,
        "views": [name for name in _VIEWS if name != "conversation" or jobwords.speaks(x)],
        "sandbox": sandbox,
        "busy": core.store.sandboxes.turns(x.sandbox_id or "") if sandbox else [],
        "box": jobwords.continuing(x, sandbox, **typed),
        "turns": jobwords.turns(core, x),
        "usage": jobwords.usage(x),
        "facts": jobwords.facts(x, sandbox),
        "curl": jobwords.curl(x),
        "is_agent": jobwords.is_agent(x),
        "has_metrics": _has_metrics(core, x),
    }
    part = blueprint.wants_part()
    words |= _files(core, x, view)
    if view == "events":
        words["events"] = list(history.events(core, x.id, aside=read))
    if view == "conversation" and not part:
        asked = flask.request.args.get("before", "")
        end = min(int(asked[:15]), x.entries) if asked.isdecimal() else x.entries
        words["page"] = conversation.before(core, x, end)
    if view == "output" and not part:
        words["plain"] = joblines.rows(core, x, max(0, x.entries - _PLAIN), _PLAIN)
    return blueprint.render("job_parts.html" if part else "job.html", code, **words)


def _view(x: model.Execution) -> str:
    asked = flask.request.args.get("view", "")
    default = "conversation" if jobwords.is_agent(x) else "output"
    fits = asked in _VIEWS and (asked != "conversation" or jobwords.speaks(x))
    return asked if fits else default


def _files(core: Core, x: model.Execution, view: str) -> dict[str, Any]:
    """The list, and the one that is looked at."""
    files, why = jobfiles.listing(core, x)
    words: dict[str, Any] = {"files": files, "no_files": why, "chosen": None, "preview": None}
    text = flask.request.args.get("file", "")
    n = int(text) if view == "files" and text.isdecimal() and len(text) < 7 else -1
    if 0 <= n < len(files):
        words |= {"chosen": n, "preview": jobfiles.preview(core, files[n])}
    return words


def _has_metrics(core: Core, x: model.Execution) -> bool:
    points, packed = core.store.samples.of([x.id])[0]
    return bool(points) or packed

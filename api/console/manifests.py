"""A task's manifest is written here, checked while one writes as its submission will be."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Final

import flask
import yaml

from api import aside, context
from api.console import blueprint, examples, shown
from api.tasks import reading
from knify import errors, ids, manifest, model, yamltext
from knify.services import history, tasks

_LINE: Final = re.compile(r"line ([0-9]{1,7}), column")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with a manifest."""

    field: str  # a path of its keys; empty for the text as a whole
    message: str
    line: int | None  # from 1 on, where that is known


@blueprint.page("/tasks/new", needs="write")
def get_task_new() -> flask.Response:
    """The editor, with an example, or with another task's manifest."""
    before, wanted = flask.request.args.get("from"), flask.request.args.get("example", "")
    example = wanted if wanted in examples.EXAMPLES else "command"
    if before:
        return _editor(_again(before), "")
    return _editor(examples.EXAMPLES[example], example)


@blueprint.page("/tasks/new", needs="write", methods=["POST"])
def post_task_new() -> flask.Response:
    """Submit it, or say what is wrong."""
    text = _sent()
    try:
        x = tasks.submit(context.core(), context.tenant(), _read(text), new=ids.new(tasks.PREFIX))
    except errors.KnifyError as failed:
        return _editor(text, "", problems(failed, text))
    return blueprint.go(f"/console/jobs/{x.id}", "Task submitted.")


@blueprint.page("/tasks/check", needs="write", methods=["POST"], looks=True)
def post_task_check() -> flask.Response:
    """What is wrong with it as things stand, as JSON; nothing is submitted."""
    text = _sent()
    try:
        wanted = _read(text)
        tasks.check(context.core(), context.tenant(), wanted)
    except errors.KnifyError as failed:
        return flask.jsonify({"problems": [asdict(one) for one in problems(failed, text)]})
    kind = shown.type_name(wanted.request["job_type"])
    return flask.jsonify({"problems": [], "summary": f"{kind}: {wanted.name}"})


def problems(failed: errors.KnifyError, text: str) -> list[Problem]:
    """All that an error tells, each with its line."""
    detail = failed.detail if isinstance(failed.detail, dict) else {}
    told = detail.get("problems") or [{"field": detail.get("field", ""), "message": failed.message}]
    found = []
    for one in told:
        field, message = str(one["field"]), str(one["message"])
        named = _LINE.search(message)
        line = int(named[1]) if named and not field else _line(text, field)
        found.append(Problem(field, message.removeprefix(f"{field}: "), line))
    return found


def _line(text: str, field: str) -> int | None:
    return aside.parser(context.tenant())(lambda: yamltext.line(text, field)) if field else None


def _sent() -> str:
    return flask.request.form.get("manifest", "").replace("\r\n", "\n")


def _read(text: str) -> manifest.Manifest:
    return manifest.read(reading.yaml(text.encode("utf-8", "replace")))


def _again(task_id: str) -> str:
    """Another task's manifest, to be submitted again. TaskNotFound."""
    core, tenant = context.core(), context.tenant()
    x = history.whole(core, tasks.get(core, tenant, task_id), aside=aside.reader(tenant))
    return _written(x)


def _written(x: model.Execution) -> str:
    values = manifest.definition(x)
    values["metadata"] = {k: v for k, v in values["metadata"].items() if k != "id"}
    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
    return text


def _editor(text: str, example: str, found: list[Problem] | None = None) -> flask.Response:
    return blueprint.render(
        "task_new.html",
        400 if found else 200,
        text=text,
        example=example,
        examples=examples.EXAMPLES,
        problems=found or [],
        name_of=lambda agent: shown.type_name(f"{agent}_task"),
    )

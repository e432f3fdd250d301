"""The shape of requests about projects, their jobs and runs; see `answers`."""

from __future__ import annotations

import re
from typing import Any, Final

import marshmallow as ma
from marshmallow import fields, validate

from api import paging
from api.jobs.schemas import MAX_NAME, Spec
from api.strict import Exact, Strict
from api.tasks.schemas import since
from knify import clock, cron, definitions
from knify.services import lines, metrics

MAX_TAGS: Final = 20
MAX_LINES: Final = 10_000
TAG: Final = r"[A-Za-z0-9][A-Za-z0-9._:/=-]{0,63}"
_TAG: Final = re.compile(TAG)


def _whole(least: int, most: int) -> Exact:
    return Exact(int, allow_none=True, validate=validate.Range(least, most))


def _one_of(names: tuple[str, ...]) -> Exact:
    return Exact(str, allow_none=True, validate=validate.OneOf(names, error="one of {choices}"))


class _Body(Strict):
    """What both bodies may hold; null stands for what a field is without being written."""

    image = Exact(str, allow_none=True)
    command = Exact(str, list, of=str, allow_none=True)
    env = Exact(dict, of=str, allow_none=True)
    timeout = Exact(str, int, float, allow_none=True)
    cpus = Exact(int, float, allow_none=True)
    memory = Exact(str, int, allow_none=True)
    disk = Exact(str, int, allow_none=True)
    network_mode = Exact(str, allow_none=True)
    allowed_hosts = Exact(list, of=str, allow_none=True)
    spec = fields.Nested(Spec)
    schedule = Exact(str, allow_none=True, validate=validate.Length(max=cron.MAX_LENGTH))
    timezone = Exact(str, allow_none=True)
    tags = Exact(list, of=str, allow_none=True)
    concurrency_policy = _one_of(definitions.POLICIES)
    catch_up = _one_of(definitions.CATCH_UPS)
    starting_deadline_seconds = _whole(1, 604_800)
    suspended = Exact(bool, allow_none=True)
    jitter_seconds = _whole(0, 86_400)
    retries = _whole(0, 10)
    retry_backoff_seconds = _whole(1, 3_600)
    keep_succeeded = _whole(0, 10_000)
    keep_failed = _whole(0, 10_000)

    @ma.validates("tags")
    def _tags(self, value: list[str] | None, **_: Any) -> None:
        if value is not None and len(value) > MAX_TAGS:
            raise ma.ValidationError(f"has more than {MAX_TAGS} tags")
        wrong = [n for n, tag in enumerate(value or ()) if not _TAG.fullmatch(tag)]
        if wrong:
            words = "a tag has 1 to 64 letters, digits and ._:/=- and begins with one of the first"
            raise ma.ValidationError({str(wrong[0]): [words]})


class NewProjectJob(_Body):
    """The body of `POST …/jobs`."""

    name = Exact(str, required=True, validate=validate.Length(1, MAX_NAME))


class ProjectJobChanges(_Body):
    """The body of `PATCH …/jobs/{job_id}`: what is left out stays."""

    name = Exact(str, validate=validate.Length(1, MAX_NAME))


class NewRun(Strict):
    """The optional body of `POST …/runs`: what this one run has instead, or besides."""

    env = Exact(dict, of=str)
    command = Exact(str, list, of=str)
    args = Exact(list, of=str)


class Page(ma.Schema):
    """The query of a list."""

    page = fields.Integer(load_default=1, validate=validate.Range(1, paging.MAX_PAGE))
    limit = fields.Integer(load_default=100, validate=validate.Range(1, paging.MAX_LIMIT))


class Jobs(Page):
    """The query of `GET …/jobs`."""

    tags = fields.String(metadata={"description": "one or several, with commas: all must be there"})
    name = fields.String(metadata={"description": "the one of this name, or none"})

    @ma.post_load
    def _split(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        tags = data["tags"].split(",") if "tags" in data else []
        if len(tags) > MAX_TAGS or not all(_TAG.fullmatch(tag) for tag in tags):
            raise ma.ValidationError("must be tags with commas between them", "tags")
        return data | {"tags": list(dict.fromkeys(tags))}


class Window(ma.Schema):
    """A window of time."""

    since = fields.String(metadata={"description": "a time, or how long ago, such as `15m`"})
    start = fields.String(metadata={"description": "the same as a time only"})
    end = fields.String(metadata={"description": "a time; now unless said"})

    @ma.post_load
    def _window(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """`start` and `end` in ms; None for what was not said."""
        if "since" in data and "start" in data:
            raise ma.ValidationError("say either since or start", "start")
        start = since(data["since"]) if "since" in data else _time(data, "start")
        end = _time(data, "end")
        if start is not None and end is not None and end < start:
            raise ma.ValidationError("must not lie before the window's start", "end")
        return data | {"start": start, "end": end}


class Logs(Window):
    """The query of logs: a window of time, and which of its lines."""

    limit = fields.Integer(load_default=1_000, validate=validate.Range(1, MAX_LINES))
    filter = fields.String(
        validate=validate.Length(1, lines.MOST_FILTER),
        metadata={"description": "text that a line holds, or `/a regular expression/` of RE2"},
    )


class Metrics(Window):
    """The query of metrics."""

    names = fields.String(
        load_default=",".join(metrics.NAMES),
        validate=validate.Length(1, 1_000),
        metadata={"description": "one or several, with commas"},
    )


def _time(data: dict[str, Any], name: str) -> int | None:
    try:
        return clock.parse_rfc3339(data[name].replace(" ", "+")) if name in data else None
    except ValueError:
        raise ma.ValidationError("must be a time such as 2026-01-31T10:00:00Z", name) from None

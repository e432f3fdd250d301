"""Schedules in the console: their list, one of them, its month, its form, its logs and figures."""

from __future__ import annotations

from typing import Any

import pytest

from api.console import calendar, scheduleform, schedulelist
from knify.core import Core
from knify.lifecycle import State
from knify.services import schedules
from knify.store.samples import Sample
from tests.api.parts import Worker
from tests.console.parts import Pages
from tests.projects import parts

HOSTILE = "\"><script>alert(1)</script>\u202e'{{9871*7}}"


def form(**more: str) -> dict[str, str]:
    """The form as a browser sends it."""
    fields = dict.fromkeys(scheduleform.FIELDS, "")
    sent = {"name": "nightly", "project": "p1", "schedule": "30 4 * * *", "timezone": "UTC"}
    return fields | sent | {"job_type": "command_task", "command": "echo hello"} | more


def href(d: Any, *more: str) -> str:
    return schedulelist.href(d, *more).removeprefix("/console")


def test_without_schedules_the_list_says_what_they_are(pages: Pages, reader: Pages) -> None:
    assert "No schedules yet" in pages.text("/schedules")
    assert "/console/schedules/new" in pages.text("/schedules")
    assert "/console/schedules/new" not in reader.text("/schedules")


def test_the_list_goes_through_all_projects(core: Core, pages: Pages) -> None:
    d = parts.definition(core, "hourly", schedule="0 * * * *", timezone="Europe/Berlin")
    schedules.create(core, "default", "p2", {"name": "other", "command": "true"}, id="jobdef_o")

    text = pages.text("/schedules")

    for words in ("hourly", "other", "Every hour", "Europe/Berlin", "Only when somebody asks"):
        assert words in text
    assert href(d) in text


def test_the_list_is_filtered_by_project_and_tag(core: Core, pages: Pages) -> None:
    for n, tags in enumerate((["a"], ["a", "b"], [])):
        body = {"name": f"job-{n}", "command": "true", "tags": tags}
        schedules.create(core, "default", f"p{n % 2}", body, id=f"jobdef_{n}")

    assert _names(pages.text("/schedules?tag=a")) == {"job-0", "job-1"}
    assert _names(pages.text("/schedules?tag=a&project=p1")) == {"job-1"}
    assert _names(pages.text("/schedules?project=p0")) == {"job-0", "job-2"}
    assert "Nothing fits" in pages.text("/schedules?project=none")


def test_pages_of_the_list_go_on_through_projects(
    core: Core, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedulelist, "LIMIT", 2)
    for n in range(5):
        body = {"name": f"job-{n}", "command": "true", "tags": ["t"]}
        schedules.create(core, "default", f"p{n % 2}", body, id=f"jobdef_{n}")

    for query in ("", "&tag=t"):
        seen = [_names(pages.text(f"/schedules?page={n}{query}")) for n in (1, 2, 3)]

        assert [len(names) for names in seen] == [2, 2, 1]
        assert set().union(*seen) == {f"job-{n}" for n in range(5)}


def test_the_list_shows_each_ones_newest_run(core: Core, pages: Pages, worker: Worker) -> None:
    d = parts.definition(core)
    schedules.trigger(core, d, {}, id="run_1")
    parts.end(worker, "run_1", State.FAILED)

    assert 'class="dot failed"' in pages.text("/schedules")


def test_one_of_them_has_its_month_and_its_runs(core: Core, pages: Pages, worker: Worker) -> None:
    d = parts.definition(core, schedule="0 0 * * *")
    schedules.trigger(core, d, {}, id="run_1")
    parts.end(worker, "run_1", State.COMPLETED)

    text = pages.text(href(d))

    assert 'href="/console/jobs/run_1"' in text
    assert "mark succeeded" in text and "mark next" in text
    assert "At 00:00" in text


def test_a_foreign_one_is_like_one_that_is_not_there(
    core: Core, pages: Pages, foreigner: Pages
) -> None:
    d = parts.definition(core)
    below = ("", "/runs", "/logs", "/resources", "/edit", "/run")

    for path in below:
        seen = [
            foreigner.get(f"/schedules/p1/{d.id}{path}"),
            pages.get(f"/schedules/p2/{d.id}{path}"),
            pages.get(f"/schedules/p1/jobdef_none{path}"),
        ]
        assert {answer.status_code for answer in seen} == {404}
        assert all(d.name not in answer.text.replace(d.id, "") for answer in seen)
    for path in ("/pause", "/delete", "/run", "/edit", "/runs/run_1/cancel"):
        assert foreigner.post(f"/schedules/p1/{d.id}{path}").status_code == 404
    assert core.store.definitions.find(d.id) == d


def test_a_reader_sees_no_buttons_and_changes_nothing(core: Core, reader: Pages) -> None:
    d = parts.definition(core)

    text = reader.text(href(d))

    assert "Run now" not in text and "Delete" not in text and href(d, "edit") not in text
    for path in ("pause", "delete", "run", "edit"):
        assert reader.post(href(d, path)).status_code == 403
    assert reader.get("/schedules/new").status_code == 403
    assert core.store.definitions.find(d.id) == d


def test_names_are_shown_as_text(core: Core, pages: Pages) -> None:
    d = schedules.create(
        core, "default", "p 1?&", {"name": HOSTILE, "command": HOSTILE}, id="jobdef_h"
    )
    schedules.trigger(core, d, {}, id="run_h")

    for path in ("/schedules", *(href(d, *more) for more in ([], ["runs"], ["edit"], ["run"]))):
        text = pages.text(path)
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert" in text
        assert "69097" not in text


def test_it_is_run_now(core: Core, pages: Pages) -> None:
    d = parts.definition(core)

    answer = pages.post(href(d, "run"), env='A=1\r\nB="x\\ny"', command="echo hello")

    assert answer.status_code == 303
    (x,) = parts.runs(core, d)
    assert x.run and x.run.trigger == "manual"
    assert x.request["env"] == {"A": "1", "B": "x\ny"} and x.request["command"] == "echo hello"


def test_a_run_with_wrong_changes_keeps_what_was_typed(core: Core, pages: Pages) -> None:
    d = parts.definition(core)

    answer = pages.post(href(d, "run"), env="A=1\nnonsense", command="echo other")

    assert answer.status_code == 400
    assert "Line 2: write NAME=value." in answer.text
    assert "echo other" in answer.text and "nonsense" in answer.text
    assert parts.runs(core, d) == []


def test_it_is_paused_and_resumed(core: Core, pages: Pages) -> None:
    d = parts.definition(core)

    pages.post(href(d, "pause"), suspended="true")
    assert core.store.definitions.get("default", "p1", d.id).next_at is None
    assert "Resume" in pages.text(href(d))

    pages.post(href(d, "pause"), suspended="false")
    assert core.store.definitions.get("default", "p1", d.id).next_at is not None


def test_it_is_deleted_with_its_runs(core: Core, pages: Pages) -> None:
    d = parts.definition(core)
    schedules.trigger(core, d, {}, id="run_1")
    assert "Runs that go on are cancelled" in pages.text(href(d))

    answer = pages.post(href(d, "delete"))

    assert answer.headers["Location"] == "/console/schedules"
    assert core.store.definitions.find(d.id) is None
    assert pages.get(href(d)).status_code == 404


def test_a_run_is_cancelled(core: Core, pages: Pages) -> None:
    d = parts.definition(core)
    schedules.trigger(core, d, {}, id="run_1")

    pages.post(href(d, "runs", "run_1", "cancel"))

    assert parts.runs(core, d)[0].state is State.CANCELLED


def test_the_form_makes_one(core: Core, pages: Pages) -> None:
    more = {"tags": "backup, nightly", "retries": "2", "concurrency_policy": "forbid"}
    more |= {"env": "A=1", "cpus": "0.5", "memory": "512Mi", "catch_up": "none"}

    answer = pages.post("/schedules/new", **form(timezone="Europe/Berlin", **more))

    assert answer.status_code == 303, answer.text
    (d,), _ = core.store.definitions.page("default", "p1", tags=[], offset=0, limit=9)
    assert answer.headers["Location"] == schedulelist.href(d)
    assert (d.schedule, d.timezone, d.tags) == (
        "30 4 * * *",
        "Europe/Berlin",
        ("backup", "nightly"),
    )
    assert (d.retries, d.concurrency_policy, d.catch_up) == (2, "forbid", "none")
    assert d.request == {
        "job_type": "command_task", "command": "echo hello", "env": {"A": "1"},
        "cpus": 0.5, "memory": "512Mi",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "", "Call it something."),
        ("name", "x" * 201, "between 1 and 200"),
        ("project", "../x", "1 to 100 letters"),
        ("schedule", "61 * * * *", "has a bad minute"),
        ("timezone", "Europe/Berln", "did you mean Europe/Berlin?"),
        ("command", "", "needs command"),
        ("image", "no such image!", "image"),
        ("env", "A", "Line 1: write NAME=value."),
        ("env", "A=1\nA=2", "A stands there twice."),
        ("retries", "many", "Write a whole number."),
        ("retries", "99", "0 and"),
        ("cpus", "nan", "Write a number."),
        ("memory", "lots", "size"),
        ("timeout", "soon", "timeout"),
        ("tags", "ok, -bad", "a tag has"),
        ("job_type", "nonsense", "unknown job type"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    core: Core, pages: Pages, field: str, value: str, words: str
) -> None:
    answer = pages.post("/schedules/new", **form(**{"tags": "kept", field: value}))

    assert answer.status_code == 400
    shown = answer.text.split(f'id="{field}-problem">')
    assert len(shown) == 2, answer.text
    assert words in shown[1].split("</p>")[0]
    assert field == "tags" or 'value="kept"' in answer.text
    assert core.store.definitions.projects("default") == []


def test_the_form_leaves_alone_what_it_does_not_show(core: Core, pages: Pages) -> None:
    spec = {"job_type": "command_task", "command": ["echo", "a b"], "metadata": {"team": "x"}}
    spec |= {"timeout": 60, "cpus": 2, "env": {"A": ' "x\n'}}
    d = schedules.create(core, "default", "p1", {"name": "n", "spec": spec}, id="jobdef_n")

    answer = pages.post(href(d, "edit"), **scheduleform.texts(d) | {"name": "renamed"})

    assert answer.status_code == 303, answer.text
    after = core.store.definitions.get("default", "p1", d.id)
    assert (after.name, after.request) == ("renamed", spec)


def test_another_type_leaves_the_fields_of_the_old_one_behind(core: Core, pages: Pages) -> None:
    d = parts.definition(core)
    changed = {"job_type": "runbook_task", "prompt": "# Hello"}

    pages.post(href(d, "edit"), **scheduleform.texts(d) | changed)

    assert core.store.definitions.get("default", "p1", d.id).request == changed


def test_an_expression_is_previewed(pages: Pages) -> None:
    good = pages.get("/schedules/preview?schedule=0+9+*+*+1&timezone=Asia/Tokyo").get_json()
    bad = pages.get("/schedules/preview?schedule=0+9+*+*+9&timezone=UTC").get_json()
    lost = pages.get("/schedules/preview?schedule=0+9+*+*+1&timezone=Mars").get_json()

    assert good["sentence"] == "At 09:00, only on Monday"
    assert len(good["next"]) == 5 and good["next"][0]["text"].endswith("09:00:00 JST")
    assert bad["field"] == "schedule" and "weekday" in bad["problem"].replace(
        "day-of-week", "weekday"
    )
    assert lost["field"] == "timezone"


def test_a_month_reads_only_a_few_runs_of_each_day(core: Core) -> None:
    d = parts.definition(core)
    for n in range(8):
        schedules.trigger(core, d, {}, id=f"run_{n}")
    now = core.store.registry.now_ms()

    month = calendar.month(core, d, "", now)
    today = next(day for day in month.days if day.is_today)
    runs = [mark.run_id for mark in today.marks if mark.run_id]

    assert (today.runs, today.hidden) == (8, 3)
    assert runs == [f"run_{n}" for n in range(3, 8)]


def test_a_month_to_come_has_the_first_times_of_each_day(core: Core) -> None:
    d = parts.definition(core, timezone="Europe/Berlin")

    month = calendar.month(core, d, "2031-03", core.store.registry.now_ms())

    assert len(month.days) == 31 and month.weeks[0][:6] == [None] * 5 + [month.days[0]]
    assert {len(week) for week in month.weeks} == {7}
    assert [mark.time for mark in month.days[29].marks] == [f"00:0{n}" for n in range(5)]
    assert all(day.is_cut and day.runs == 0 for day in month.days)


@pytest.mark.parametrize("month", ["nonsense", "2026-13", "0000-01", "9999-12", "²026-01", "-1-01"])
def test_a_month_that_is_none_is_this_one(core: Core, pages: Pages, month: str) -> None:
    d = parts.definition(core, schedule="0 0 1 1 *")

    assert pages.text(f"{href(d)}?month={month}") == pages.text(href(d))


def test_a_month_of_the_past_has_nothing_due(core: Core, pages: Pages) -> None:
    d = parts.definition(core)

    assert "mark next" not in pages.text(f"{href(d)}?month=2020-02").split("calendar-foot")[0]


def test_lines_of_all_runs_are_found(core: Core, pages: Pages, worker: Worker) -> None:
    d = parts.definition(core)
    schedules.trigger(core, d, {}, id="run_1")
    x = worker.run("run_1")
    worker.lines(x, "\x1b[31mred\x1b[0m <b>bold</b>", "other", "y" * 5_000)

    text = pages.text(href(d, "logs"))

    assert "red &lt;b&gt;bold&lt;/b&gt;" in text and "\x1b" not in text
    assert "3,000 characters more" in text
    assert "other" not in pages.text(href(d, "logs") + "?filter=red")
    assert "No lines" in pages.text(href(d, "logs") + "?filter=nothing")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("filter=/(/", "is no regular expression"),
        ("start=2026-02-01T00:00&end=2026-01-01T00:00", "Lies before"),
    ],
)
def test_a_wrong_window_of_logs_is_said(core: Core, pages: Pages, query: str, words: str) -> None:
    answer = pages.get(f"{href(parts.definition(core))}/logs?{query}")

    assert (answer.status_code, words in answer.text) == (400, True)


@pytest.mark.parametrize("start", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00%2B23:59"])
def test_a_moment_beyond_all_calendars_is_none(core: Core, pages: Pages, start: str) -> None:
    pages.text(f"{href(parts.definition(core))}/logs?start={start}")


def test_cpu_and_memory_are_drawn_and_tabled(core: Core, pages: Pages, worker: Worker) -> None:
    d = parts.definition(core)
    assert "Nothing was measured" in pages.text(href(d, "resources"))
    schedules.trigger(core, d, {}, id="run_1")
    x = worker.run("run_1")
    core.store.samples.add([Sample(x.id, x.fence, 0.5, 2**20)])

    text = pages.text(href(d, "resources"))

    assert "0.5 cores at most" in text and "1.0 MiB" in text
    assert text.count('<script type="application/json">') == 2


def _names(text: str) -> set[str]:
    return {f"job-{n}" for n in range(5) if f">job-{n}</a>" in text}

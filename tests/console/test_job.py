"""The page of a job: what it shows, to whom, and what can be done from it."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from knify.core import Core
from knify.lifecycle import State
from tests.api.parts import Api, frames
from tests.console import hostile, told
from tests.console.parts import Pages

PARTS = {"X-Knify-Part": "true"}


@pytest.fixture
def agent(api: Api) -> str:
    """An agent's job."""
    answer = api.post("/jobs", {"spec": {"job_type": "claude_task", "prompt": "Fix the parser"}})
    return str(answer.get_json()["job_id"])


def test_a_pending_job_says_where_it_stands_and_why(pages: Pages, api: Api) -> None:
    job = api.submit(command="sleep 1")

    text = pages.text(f"/jobs/{job}")

    assert "1 in line." in text
    assert "No node is there" in text


def test_an_agents_words_calls_and_changes_are_shown(pages: Pages, agent: str, core: Core) -> None:
    x = told.running(core, agent)
    edit = {"path": "a.py", "old_string": "one\ntwo", "new_string": "one\nthree"}
    told.events(
        core, x,
        {"type": "agent_message", "message": "I **look** at it"},
        {"type": "tool_use", "id": "t", "tool": "edit_file", "parameters": edit},
        {"type": "tool_result", "id": "t", "status": "error", "output": "no such file"},
    )  # fmt: skip

    text = pages.text(f"/jobs/{agent}")

    assert "<p>I <strong>look</strong> at it</p>" in text
    assert '<div class="remove"><span aria-hidden="true">-</span><code>two</code>' in text
    assert '<div class="add"><span aria-hidden="true">+</span><code>three</code>' in text
    assert "no such file" in text


def test_what_came_since_then_is_asked_for_alone(pages: Pages, agent: str, core: Core) -> None:
    x = told.running(core, agent)
    x = told.events(core, x, {"type": "agent_message", "message": "Alpha"})
    seen = x.entries
    told.events(core, x, {"type": "agent_message", "message": "Beta"})

    more = pages.text(f"/jobs/{agent}/conversation?after={seen}")

    assert ("Alpha" in more, "Beta" in more) == (False, True)
    assert f'data-last="{seen + 1}"' in more


def test_the_page_has_no_html_but_its_own(pages: Pages, agent: str, core: Core) -> None:
    x = told.running(core, agent)
    said = [{"type": "agent_message", "message": text} for text in hostile.MESSAGES]
    calls = [
        {"type": "tool_use", "id": str(n), "tool": tool, "parameters": given}
        for n, (tool, given) in enumerate(hostile.CALLS)
    ]
    told.end(core, told.events(core, x, *said, *calls), hostile.FILES)

    for view in ("conversation", "output", "files", *(f"files&file={n}" for n in range(8))):
        text = pages.text(f"/jobs/{agent}?view={view}")
        for word in ("<script>", "<script src=https://evil", "<iframe", "<img src=x", "<svg/onload",
                     'href="javascript:', 'href="data:', 'src="https://evil'):  # fmt: skip
            assert word not in text, (view, word)


def test_lines_come_by_range_and_long_ones_are_cut(pages: Pages, api: Api, core: Core) -> None:
    job = api.submit(command="x")
    x = told.running(core, job)
    told.lines(core, x, ["one", "two", "x" * 5_000], stream="stderr")

    answer = pages.get(f"/jobs/{job}/lines?after=1&most=2").get_json()
    whole = pages.get(f"/jobs/{job}/lines/3").get_json()

    assert [row[:3] for row in answer["rows"]] == [[2, 2, "e"], [3, 3, "e"]]
    assert (len(answer["rows"][1][3]), answer["rows"][1][4]) == (2_000, 5_000)
    assert (len(whole["text"]), answer["total"]) == (5_000, 3)
    assert pages.get(f"/jobs/{job}/lines/{10**30}").status_code == 404


def test_a_search_looks_through_all_lines_without_their_colours(
    pages: Pages, api: Api, core: Core
) -> None:
    job = api.submit(command="x")
    texts = [f"line {n}" for n in range(700)] + ["\x1b[31mERR\x1b[0mOR 7"]
    told.lines(core, told.running(core, job), texts)

    def search(text: str) -> Any:
        return pages.get(f"/jobs/{job}/search", query_string={"q": text}).get_json()

    assert search("error") == {"rows": [701], "whole": True}
    assert search("/^line 6.9$/")["rows"] == [610 + 10 * n for n in range(10)]
    assert "RE2" in search("/(/")["problem"]


def test_history_and_output_are_one_stream(pages: Pages, api: Api, core: Core) -> None:
    job = api.submit(command="x")
    told.end(core, told.lines(core, told.running(core, job), ["a\n\ndata: {}", "b"]))

    shown = frames(pages.get(f"/jobs/{job}/stream?rows=1&after=0.0").text)
    rows = [row for _, data in shown for row in data["rows"]]

    assert [row[3] for row in rows[:2]] == ["a\n\ndata: {}", "b"]
    assert shown[-1][1]["events"][-1]["state"] == "completed"
    assert pages.get(f"/jobs/{job}/stream?after={shown[-1][0]}").status_code == 204


def test_who_comes_again_misses_nothing(pages: Pages, api: Api, core: Core) -> None:
    job = api.submit(command="x")
    x = told.lines(core, told.running(core, job), ["a", "b", "c"])
    told.end(core, x)

    shown = frames(pages.get(f"/jobs/{job}/stream?rows=1&after={x.events}.2").text)

    assert [row[0] for _, data in shown for row in data["rows"]] == [3, 4]


def test_the_parts_of_the_page_are_had_alone(pages: Pages, api: Api, core: Core) -> None:
    job = api.submit(command="x")
    told.running(core, job)

    text = pages.text(f"/jobs/{job}", headers=PARTS)

    assert ('data-over="no"' in text, 'id="job-badge"' in text, "<html" in text) == (
        True, True, False,
    )  # fmt: skip


def test_a_files_download_is_an_attachment_whatever_it_is(
    pages: Pages, api: Api, core: Core
) -> None:
    job = api.submit(command="x")
    told.end(core, told.running(core, job), hostile.FILES)

    for n in range(len(hostile.FILES)):
        headers = pages.get(f"/jobs/{job}/files/{n}").headers
        assert headers["Content-Disposition"].startswith("attachment;")
        assert headers["Content-Security-Policy"] == "sandbox"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Set-Cookie: a" not in str(headers)
    assert pages.get(f"/jobs/{job}/files/{len(hostile.FILES)}").status_code == 404


def test_a_picture_is_what_begins_like_one(pages: Pages, api: Api, core: Core) -> None:
    job = api.submit(command="x")
    told.end(core, told.running(core, job), hostile.FILES)
    names = sorted(hostile.FILES)

    kinds = {
        name: pages.get(f"/jobs/{job}/files/{n}/image").headers["Content-Type"].split(";")[0]
        for n, name in enumerate(names)
    }

    assert kinds["picture.png"] == "image/png"
    assert kinds["picture.svg"] == kinds["page.html"] == "text/html"  # the page that says 404


def test_json_is_laid_out_and_a_patch_is_coloured(pages: Pages, api: Api, core: Core) -> None:
    job = api.submit(command="x")
    files = {"a.json": b'{"a":[1,2]}', "b.patch": b"--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n"}
    told.end(core, told.running(core, job), files)

    laid_out = pages.text(f"/jobs/{job}?view=files&file=0")
    patch = pages.text(f"/jobs/{job}?view=files&file=1")

    assert "{\n  &#34;a&#34;: [\n    1,\n    2\n  ]\n}" in laid_out
    assert '<div class="remove"><span aria-hidden="true">-</span><code>x</code>' in patch


def test_a_copied_command_is_quoted(pages: Pages, api: Api) -> None:
    job = api.submit(command="echo 'it''s' $HOME \"x\"")

    text = pages.text(f"/jobs/{job}")
    copied = text.split('data-copy="curl')[1].split('"')[0].replace("&#34;", '"')
    words = shlex.split(("curl" + copied.replace("&#39;", "'")).replace("\\\n", ""))

    assert json.loads(words[-1])["spec"]["command"] == "echo 'it''s' $HOME \"x\""
    assert "Authorization: Bearer $KNIFY_API_KEY" in words


def test_one_goes_on_with_the_same_settings(pages: Pages, agent: str, core: Core) -> None:
    told.end(core, told.running(core, agent))

    went = pages.post(f"/jobs/{agent}/continue", text="And now?", job_type="claude_task")
    new = went.headers["Location"].rpartition("/")[2]
    x = core.store.executions.get(new, tenant="default")

    assert (x.parent_id, x.request["prompt"]) == (agent, "And now?")
    assert "Turns of its sandbox" in pages.text(f"/jobs/{new}")


def test_what_was_typed_stays_when_it_is_refused(pages: Pages, agent: str, core: Core) -> None:
    told.end(core, told.running(core, agent))

    refused = pages.post(f"/jobs/{agent}/continue", text="  ", job_type="runbook_task")

    assert refused.status_code == 400
    assert "Say what is to be done next." in refused.text
    assert '<option value="runbook_task" selected>' in refused.text


def test_a_deleted_sandbox_is_why_one_cannot_go_on(pages: Pages, api: Api, core: Core) -> None:
    job = api.submit(command="x")
    told.end(core, told.running(core, job))

    pages.post(f"/jobs/{job}/cleanup")
    text = pages.text(f"/jobs/{job}")

    assert "Its sandbox was deleted" in text
    assert 'id="composer"' not in text


def test_a_busy_sandbox_is_cleaned_up_by_force(pages: Pages, api: Api, core: Core) -> None:
    job = api.submit(command="x")

    refused = pages.post(f"/jobs/{job}/cleanup")
    text = pages.text(f"/jobs/{job}")
    pages.post(f"/jobs/{job}/cleanup", force="true")

    assert refused.status_code == 303
    assert "cancelled. The files in it" in text
    assert core.store.executions.get(job, tenant="default").state is State.CANCELLED


def test_a_job_is_cancelled_and_deleted(pages: Pages, api: Api, core: Core) -> None:
    job = api.submit(command="x")

    pages.post(f"/jobs/{job}/cancel")
    cancelled = pages.text(f"/jobs/{job}")
    deleted = pages.post(f"/jobs/{job}/delete")

    assert "cancelled in the console" in cancelled
    assert deleted.headers["Location"] == "/console/jobs"
    assert pages.get(f"/jobs/{job}").status_code == 404


def test_a_reader_sees_no_buttons_and_is_refused(reader: Pages, api: Api, core: Core) -> None:
    job = api.submit(command="x")

    text = reader.text(f"/jobs/{job}")

    assert "This key may only read" in text
    for action in ("cancel", "cleanup", "delete", "continue"):
        assert f"/{action}" not in text
        assert reader.post(f"/jobs/{job}/{action}", text="x").status_code == 403
    assert core.store.executions.get(job, tenant="default").state is State.PENDING


@pytest.mark.parametrize(
    "path",
    ["", "/lines", "/lines/1", "/output.txt", "/search?q=a", "/stream", "/conversation",
     "/files/0", "/files/0/image", "/files.tar.gz", "/metrics"],
)  # fmt: skip
def test_anothers_job_is_as_one_that_is_not_there(
    foreigner: Pages, api: Api, core: Core, path: str
) -> None:
    job = api.submit(command="x")
    told.end(core, told.lines(core, told.running(core, job), ["a"]), {"a": b"b"})

    theirs = foreigner.get(f"/jobs/{job}{path}")
    missing = foreigner.get(f"/jobs/job_0000000000000000000000000a{path}")

    assert theirs.status_code == missing.status_code == 404


def test_what_counts_seconds_is_not_read_aloud(pages: Pages, agent: str, core: Core) -> None:
    told.running(core, agent)

    working = pages.text(f"/jobs/{agent}").split('id="job-working"')[1].split("</div>")[0]

    assert "data-since" in working
    assert "aria-live" not in working and "status" not in working

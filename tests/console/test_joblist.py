"""The list of jobs: filters, searches, pages, and what hostile names look like in it."""

from __future__ import annotations

from api.console import asked
from tests.api.parts import Api, Worker
from tests.console.parts import Pages


def test_the_list_shows_what_a_job_is_and_how_it_stands(pages: Pages, api: Api) -> None:
    job = api.submit(metadata={"team": "infra"})

    text = pages.text("/jobs")

    assert f'href="/console/jobs/{job}"' in text
    assert all(word in text for word in ("echo hello", "team=infra", "pending", "Command"))


def test_an_empty_list_says_how_to_begin(pages: Pages) -> None:
    assert "No jobs yet" in pages.text("/jobs")


def test_tabs_types_and_metadata_are_filters(pages: Pages, api: Api, worker: Worker) -> None:
    ended, waits = api.submit(metadata={"n": 1}), api.submit(metadata={"n": 2})
    worker.finish(worker.run(ended))

    assert (ended in (text := pages.text("/jobs?tab=completed")), waits in text) == (True, False)
    assert (ended in (text := pages.text("/jobs?q=n%3D2")), waits in text) == (False, True)
    assert "Nothing fits" in pages.text("/jobs?type=codex_task")


def test_words_are_looked_for_in_names_and_prompts(pages: Pages, api: Api) -> None:
    hit, miss = api.submit(command="make Release"), api.submit(command="make test")

    text = pages.text("/jobs?q=release+MAKE")

    assert (hit in text, miss in text) == (True, False)
    assert "newest 2 jobs were searched" in text


def test_an_id_leads_to_its_job(pages: Pages, foreigner: Pages, api: Api) -> None:
    job = api.submit()

    assert pages.get(f"/jobs?q={job}").headers["Location"] == f"/console/jobs/{job}"
    assert foreigner.get(f"/jobs?q={job}").status_code == 200


def test_long_lists_have_pages(pages: Pages, api: Api) -> None:
    jobs = [api.submit() for _ in range(asked.LIMIT + 1)]

    first, second = pages.text("/jobs"), pages.text("/jobs?page=2")

    assert (jobs[-1] in first, jobs[0] in first, jobs[0] in second) == (True, False, True)
    assert 'rel="next" href="/console/jobs?page=2"' in first


def test_what_makes_no_sense_in_the_address_is_left_out(pages: Pages, api: Api) -> None:
    job = api.submit()

    for query in (
        "page=0",
        "page=x",
        "page=99999999999",
        "tab=none",
        "type=%00",
        "q=%3D",
        "q=a%3D",
    ):
        assert pages.get(f"/jobs?{query}").status_code == 200, query
    assert job in pages.text("/jobs?page=0&tab=none")


def test_a_script_gets_only_the_table(pages: Pages, api: Api) -> None:
    job = api.submit()

    part = pages.text("/jobs", headers={"X-Knify-Part": "true"})

    assert job in part
    assert "<html" not in part


def test_hostile_names_are_text(pages: Pages, api: Api) -> None:
    name = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    answer = api.post("/jobs", {"spec": {"job_type": "command_task", "command": "x"}, "name": name})
    assert answer.status_code == 200

    text = pages.text("/jobs")

    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;alert(1)" in text

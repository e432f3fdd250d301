"""Tasks in the console: their list with families, and the editor of a manifest."""

from __future__ import annotations

import pytest

from api.console import examples
from knify import ids, manifest, yamltext
from knify.core import Core
from knify.services import tasks
from tests.api.parts import Worker
from tests.console.parts import Pages

HOSTILE = "\"><script>alert(1)</script>\u202e'"
HELLO = """\
version: "1"
kind: Task
metadata:
  name: Hello
  labels: {team: infra}
agent:
  type: command
  command: echo hello
"""


def made(core: Core, name: str = "Hello", **metadata: object) -> str:
    """A task's execution."""
    written = {"version": "1", "kind": "Task", "metadata": {"name": name} | metadata}
    written |= {"agent": {"type": "command", "command": "echo hello"}}
    return tasks.submit(core, "default", manifest.read(written), new=ids.new("task")).id


def test_without_tasks_the_list_says_what_they_are(pages: Pages, reader: Pages) -> None:
    assert "/console/tasks/new" in pages.text("/tasks")
    assert "No tasks yet" in reader.text("/tasks")
    assert "/console/tasks/new" not in reader.text("/tasks")


def test_the_list_shows_state_labels_and_progress(core: Core, pages: Pages, worker: Worker) -> None:
    x = worker.run(made(core, labels={"team": "infra"}))
    worker.lines(x, "y" * 2_047)

    text = pages.text("/tasks")

    for words in ("Hello", "team=infra", "2.0 KiB", "dot running", f"/console/jobs/{x.id}"):
        assert words in text


def test_every_row_of_the_list_has_its_first_labels(core: Core, pages: Pages) -> None:
    for n in range(6):
        made(core, labels={"n": str(n), "b": "2", "c": "3", "d": "4"})

    text = pages.text("/tasks")

    assert all(f">n={n}</a>" in text for n in range(6))
    assert text.count(">c=3</a>") == 6 and ">d=4</a>" not in text


def test_a_family_leads_to_its_children(core: Core, pages: Pages) -> None:
    parent = made(core, "Parent", id="above")
    children = [made(core, f"Child {n}", parent_id="above") for n in range(2)]

    text, below = pages.text("/tasks"), pages.text("/tasks?parent=above")

    assert "2 children · 2 open" in text
    assert all(child in below for child in children) and f'id="{parent}"' not in below


def test_the_list_is_filtered_by_state_and_label(core: Core, pages: Pages, worker: Worker) -> None:
    one, two = made(core, labels={"team": "a"}), made(core, labels={"team": "b"})
    worker.finish(worker.run(one))

    assert f'id="{one}"' in pages.text("/tasks?tab=completed")
    assert f'id="{two}"' not in pages.text("/tasks?tab=completed")
    assert f'id="{two}"' in pages.text("/tasks?q=team%3Db")
    assert "Nothing fits" in pages.text("/tasks?q=team%3Dc")


def test_an_id_leads_to_its_task(core: Core, pages: Pages, foreigner: Pages) -> None:
    x = made(core, id="release-7")

    assert pages.get("/tasks?q=release-7").headers["Location"] == f"/console/jobs/{x}"
    assert "Nothing fits" in pages.text("/tasks?q=release-8")
    assert "Nothing fits" in foreigner.text("/tasks?q=release-7")


def test_foreign_tasks_are_not_there(core: Core, pages: Pages, foreigner: Pages) -> None:
    made(core, "Secret plan", id="mine")

    assert "Secret plan" not in foreigner.text("/tasks")
    assert foreigner.get("/tasks/new?from=mine").status_code == 404
    assert pages.get("/tasks/new?from=none").status_code == 404


def test_names_and_labels_are_shown_as_text(core: Core, pages: Pages) -> None:
    made(core, HOSTILE, labels={HOSTILE: HOSTILE}, id="h")

    for path in ("/tasks", "/tasks/new?from=h", "/tasks?parent=%3Cscript%3Ealert(1)"):
        assert "<script>alert" not in pages.text(path)


def test_a_reader_submits_and_checks_nothing(core: Core, reader: Pages) -> None:
    assert reader.get("/tasks/new").status_code == 403
    assert reader.post("/tasks/new", manifest=HELLO).status_code == 403
    assert reader.post("/tasks/check", manifest=HELLO).status_code == 403
    assert core.store.tasks.page("default").total == 0


@pytest.mark.parametrize("agent", examples.EXAMPLES)
def test_every_agent_has_an_example_that_is_right(pages: Pages, agent: str) -> None:
    found = manifest.read(yamltext.read(examples.EXAMPLES[agent]))

    assert found.request["job_type"] == f"{agent}_task"
    assert f"type: {agent}" in pages.text(f"/tasks/new?example={agent}")


def test_a_manifest_is_submitted(core: Core, pages: Pages) -> None:
    answer = pages.post("/tasks/new", manifest=HELLO.replace("\n", "\r\n"))

    (x,) = core.store.tasks.page("default").tasks
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/console/jobs/{x.id}")
    assert (x.name, x.metadata) == ("Hello", {"team": "infra"})


def test_a_wrong_one_stays_and_says_why(core: Core, pages: Pages) -> None:
    text = HELLO.replace("echo hello", "'<b>'").replace("type:", "typ:")

    answer = pages.post("/tasks/new", manifest=text)

    assert answer.status_code == 400
    assert "<code>agent.typ</code>" in answer.text and "did you mean agent.type?" in answer.text
    assert "&lt;b&gt;" in answer.text
    assert core.store.tasks.page("default").total == 0


@pytest.mark.parametrize(
    ("change", "field", "line", "words"),
    [
        (("kind: Task", "kind: Job"), "kind", 2, "must be"),
        (("name: Hello", "nam: Hello"), "metadata.nam", 4, "did you mean metadata.name?"),
        (("type: command", "type: cobol"), "agent.type", 7, "must be one of"),
        (("team: infra", "team: []"), "metadata.labels.team", 5, "must be text"),
        (("echo hello", "''"), "agent.command", 8, "command"),
        (("{team: infra}", "{team: infra"), "", 6, "not valid YAML"),
        (("  name: Hello\n", "  name: Hello\n  parent_id: none\n"), "metadata.parent_id", 5, "no"),
        (("echo hello\n", "echo hello\nvm: {cpus: 9999}\n"), "vm.cpus", 9, "cpus"),
    ],
)  # fmt: skip
def test_what_is_wrong_has_its_key_and_its_line(
    core: Core, pages: Pages, change: tuple[str, str], field: str, line: int, words: str
) -> None:
    answer = pages.post("/tasks/check", manifest=HELLO.replace(*change)).get_json()

    first = answer["problems"][0]
    assert (first["field"], first["line"]) == (field, line)
    assert words in first["message"]
    assert core.store.tasks.page("default").total == 0


def test_a_right_one_is_checked_and_not_submitted(core: Core, pages: Pages) -> None:
    answer = pages.post("/tasks/check", manifest=HELLO).get_json()

    assert answer == {"problems": [], "summary": "Command: Hello"}
    assert core.store.tasks.page("default").total == 0


def test_an_id_that_is_taken_is_told_before(core: Core, pages: Pages) -> None:
    made(core, id="release-7")
    text = HELLO.replace("  name:", "  id: release-7\n  name:")

    (problem,) = pages.post("/tasks/check", manifest=text).get_json()["problems"]

    assert "there is a task release-7" in problem["message"]


@pytest.mark.parametrize("text", ["", "- 1", "a: &a [*a]", "x: " + "[" * 200, "\x00", "a: \ud83d"])
def test_what_is_no_manifest_is_said(pages: Pages, text: str) -> None:
    sent = text.encode("utf-8", "surrogatepass")
    answer = pages.post("/tasks/check", manifest=sent)

    assert answer.status_code == 200
    assert answer.get_json()["problems"]


def test_a_task_is_written_again(core: Core, pages: Pages) -> None:
    made(core, "Again", id="first", labels={"team": "infra"})

    text = pages.text("/tasks/new?from=first")

    assert "name: Again" in text and "id: first" not in text


def test_lines_of_paths_are_found_in_any_yaml() -> None:
    text = "a:\n  - x\n  - y: 1\n    z: [1,\n      2]\nb.c: {d: 3}\n"

    found = [yamltext.line(text, path) for path in ("a.1.z.1", "a.1.z.9", "b.c.d", "q", "a: [")]

    assert found == [5, 4, 6, None, None]

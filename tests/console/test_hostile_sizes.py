"""What takes a page's reader, and everybody else of the process, no longer however it is made."""

from __future__ import annotations

import time

import pytest

from api.console import conversation, diffs, jobfiles, markdown
from knify.core import Core
from tests.api.parts import Api
from tests.console import told
from tests.console.parts import Pages

WIDE = "|a" * 500 + "\n" + "|-" * 500 + "\n" + "x\n" * 1_000  # 500,000 cells in 4,000 characters


@pytest.fixture
def agent(api: Api) -> str:
    answer = api.post("/jobs", {"spec": {"job_type": "claude_task", "prompt": "Fix the parser"}})
    return str(answer.get_json()["job_id"])


def test_a_table_that_fills_itself_up_is_none() -> None:
    assert markdown.count(markdown.tree(WIDE)) < 5_000

    assert markdown.tree("|a|b|\n|-|-|\n|1|2|")[0].tag == "table"


def test_a_tree_with_too_many_nodes_is_not_made() -> None:
    assert markdown.tree("- a\n" * 100, most=100) == ()


def test_deep_json_is_laid_out_as_far_as_it_is_shown() -> None:
    deep = "[" * 900 + ",".join("0" * 100_000) + "]" * 900  # laid out, 180 MB of spaces

    laid_out = jobfiles._laid_out(deep)

    assert laid_out is not None
    assert 256 * 1024 < len(laid_out) < 300 * 1024


def test_a_page_compares_only_so_many_lines() -> None:
    old, new = ("\n".join(str(n * k % 7) for n in range(400)) for k in (1, 3))
    edits = [{"old_string": old, "new_string": new}] * 100
    room = diffs.Room()

    began = time.process_time()
    found = [diffs.of_call("edit", {"edits": edits}, room) for _ in range(100)]

    assert time.process_time() - began < 5  # each comparison alone would take half a second
    assert sum(map(len, found)) == diffs.Room().lines


def test_what_is_the_same_on_both_sides_is_not_compared() -> None:
    same = [str(n) for n in range(5_000)]

    found = diffs.between([*same, "old", *same], [*same, "new", *same])

    assert [line.text for line in found if line.mark != " "] == ["old", "new"]


def test_a_page_of_long_entries_has_fewer_of_them(agent: str, core: Core, pages: Pages) -> None:
    x = told.running(core, agent)
    call = {"type": "tool_use", "id": "a", "tool": "say", "parameters": {"a": ["b" * 9_000] * 50}}
    for _ in range(6):
        x = told.events(core, x, call)

    newest = conversation.before(core, x, x.entries)
    rest = conversation.before(core, x, newest.first)
    behind = conversation.behind(core, x, 0)

    assert (newest.first, newest.last, rest.first, rest.last) == (2, 6, 0, 2)
    assert (behind.first, behind.last) == (0, 4)
    assert "Show earlier" in pages.text(f"/jobs/{x.id}?view=conversation")

"""The snippets of the documentation that show the most, on a real installation."""

from __future__ import annotations

import http.server
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from knify.client import Client
from knify.host import podman
from tests.parts import stack as stack_part
from tests.snippets.conftest import KEY, Snippets, objects

pytestmark = [pytest.mark.stack, pytest.mark.podman, pytest.mark.slow]


def _content(client: Client, job_id: str, path: str, folder: Path) -> str:
    return client.download(job_id, path, folder).file.read_text()


def _ended(client: Client, job_id: str) -> Any:
    return client.wait(job_id, timeout=90)


def test_a_workflow_of_several_turns_shares_sandbox_files_and_conversation(
    snippets: Snippets, client: Client
) -> None:
    turns = objects(snippets.bash("advanced-usage/multi-turn.sh"))

    last = _ended(client, turns[-1]["job_id"])
    assert [turn["status"] for turn in turns] == ["pending"] * 3
    assert {turn["sandbox_id"] for turn in turns} == {last.sandbox_id}
    first = client.job(turns[0]["parent_job_id"])
    jobs = [first, *(client.job(turn["job_id"]) for turn in turns)]
    assert [job.status for job in jobs] == ["completed"] * 4
    assert len({job.raw["cursor_session_id"] for job in jobs}) == 1
    report = _content(client, last.id, "report.md", snippets.folder)
    assert "- Analyze this codebase and identify bottlenecks\n" in report
    assert "- Run tests to verify the optimizations\n" in report
    assert "Here: report.md" in report


def test_jobs_run_in_parallel_by_aiohttp(snippets: Snippets, client: Client) -> None:
    made = snippets.python("advanced-usage/parallel_jobs.py")

    jobs = [_ended(client, job_id) for job_id in made["job_ids"]]
    assert [job.status for job in jobs] == ["completed"] * 4
    assert len({job.sandbox_id for job in jobs}) == 4
    assert jobs[3].spec["prompt"] == "Review CI/CD configuration"


def test_an_event_source_with_the_documented_header_sees_all_until_the_end(
    snippets: Snippets, client: Client
) -> None:
    job = client.create_job({"job_type": "cursor_task", "prompt": "SAY Hi\nWRITE a.py: 1"}).job_id

    said = snippets.node("advanced-usage/job-monitor.mjs", JOB_ID=job)

    assert said.splitlines() == [
        *("Agent: Hi", "Using tool: write_file", "Created file: a.py", "Job completed!"),
    ]


class _Scripted(http.server.BaseHTTPRequestHandler):
    answers: list[int] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status = self.answers.pop(0)
        body = json.dumps({"job_id": "job_1", "status": "pending"}).encode()
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "7")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("answers", "waits", "works"),
    [([200], [], True), ([429, 503, 200], [7, 2], True), ([500] * 3, [1, 2, 4], False)],
)
def test_the_retrying_client_waits_as_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    answers: list[int], waits: list[int], works: bool,
) -> None:  # fmt: skip
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    handler = type("Handler", (_Scripted,), {"answers": list(answers)})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        url = f"http://127.0.0.1:{server.server_port}"
        try:
            made = Snippets(url, "k", tmp_path).python("advanced-usage/retrying_client.py")
        finally:
            server.shutdown()

    assert slept == waits
    assert made["result"] == ({"job_id": "job_1", "status": "pending"} if works else None)


def test_the_retrying_client_gets_its_job_here(snippets: Snippets, client: Client) -> None:
    made = snippets.python("advanced-usage/retrying_client.py")

    assert _ended(client, made["result"]["job_id"]).status == "completed"


def test_the_agent_gets_its_prompt_whatever_it_begins_with_and_however_long_it_is(
    client: Client, tmp_path: Path
) -> None:
    prompts = [
        "--help me\nSAY dashes",
        "/clear\nSAY slash",
        "SAY long\nWRITE x: " + "y" * 300_000,
        "SAY 'quotes' \"and\" $HOME `id` \\ ü",
    ]
    jobs = [client.create_job({"job_type": "cursor_task", "prompt": one}).job_id for one in prompts]

    ended = [_ended(client, job) for job in jobs]

    assert [job.status for job in ended] == ["completed"] * 4, [job.error for job in ended]
    results = [client.output(job.id)[-1]["result"] for job in ended]
    assert results == ["dashes", "slash", "long", "'quotes' \"and\" $HOME `id` \\ ü"]
    assert len(_content(client, ended[2].id, "x", tmp_path)) == 300_000


def test_the_operators_key_is_nowhere_but_with_the_agent(
    client: Client, stack: stack_part.Stack
) -> None:
    prompt = "RUN echo ${#CURSOR_API_KEY}\nRUN env"
    job = _ended(client, client.create_job({"job_type": "cursor_task", "prompt": prompt}).job_id)

    output = client.output(job.id)
    told = [event["output"] for event in output if event["type"] == "tool_result"]
    assert told[0] == f"{len(KEY)}\n"
    assert "CURSOR_API_KEY=***" in told[1]
    shown = podman.call("inspect", f"knify-{job.sandbox_id}").out
    assert job.sandbox_id in shown
    raw = [line.line for line in client.lines(job.id)]
    for seen in (output, raw, client.events(job.id), job, shown):
        assert KEY not in repr(seen)
    for part in ("api", "beat", "redis", "podman"):
        assert KEY.encode() not in Path(f"/proc/{stack.pid(part)}/environ").read_bytes(), part
    logs = [log.read_text() for log in (stack.home / "logs").glob("*.log")]
    assert not any(KEY in log for log in logs)

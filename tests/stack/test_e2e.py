"""A browser on real parts: a runbook drives Chromium against a page served in the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from knify import settings as settings_module
from knify.client import Client
from knify.host import images
from tests.parts import stack as stack_part
from tests.stack import parts

pytestmark = [pytest.mark.stack, pytest.mark.podman, pytest.mark.slow, pytest.mark.timeout(1_800)]

#: A browser of its own, in the background, as one behind an address.
BY_CDP = """
```python
import os, subprocess, sys, time, urllib.request
sys.path.insert(0, "scripts")
import browser

argv = [os.environ["KNIFY_CHROMIUM"], "--headless", "--remote-debugging-port=9222"]
argv += browser.OPTIONS
with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as chromium:
    os.environ["BROWSERLESS_URL"] = "http://127.0.0.1:9222"
    for _ in range(600):
        try:
            urllib.request.urlopen("http://127.0.0.1:9222/json/version").close()
            break
        except OSError:
            time.sleep(0.1)
    with browser.application() as url, browser.session("by-cdp", url) as session:
        session.open("/users/new")
        session.shot("the form")
    chromium.terminate()
```
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[stack_part.Stack]:
    """An installation on a host that has the image with the browser."""
    images.ensure(settings_module.load(), "e2e", lambda _: None)
    with stack_part.running() as running:
        yield running


def _run(client: Client, prompt: str, **spec: object) -> str:
    job = client.create_job({"job_type": "fh_e2e_tools", "prompt": prompt} | spec)
    return client.wait(job.job_id, timeout=600).id


def test_the_documented_prompt_creates_a_user_and_shows_it(client: Client, tmp_path: Path) -> None:
    prompt = "Create a test user using the runbook @create-user.md"

    job = client.job(_run(client, prompt, workspace_path="/workspaces/e2e-tests"))

    assert (job.status, job.error) == ("completed", None), parts.lines(client, job.id, "stderr")
    folder = "e2e-results/create-user"
    kept = {f"{folder}/{name}" for name in ("trace.zip", "video.webm", "console.log")}
    shots = {name for name in job.files if name.startswith(folder) and name.endswith(".png")}
    assert kept | {"report.md", "result.json"} <= set(job.files)
    assert len(shots) == 4
    report = parts.content(client, job.id, "report.md")
    assert all(f"]({shot})" in report for shot in shots)
    picture = client.download(job.id, min(shots), tmp_path).file.read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 5_000


def test_a_runbook_that_fails_leaves_what_the_browser_saw(client: Client) -> None:
    broken = (
        "```python\nimport sys\nsys.path.insert(0, 'scripts')\nimport browser\n"
        "with browser.application() as url, browser.session('broken', url) as session:\n"
        "    session.open('/')\n    session.page.get_by_text('not there').click(timeout=500)\n```\n"
    )

    job = client.job(_run(client, broken))

    assert job.status == "failed"
    result = parts.content(client, job.id, "result.json")
    assert [one["status"] for one in result["sessions"]] == ["failed"]
    assert "e2e-results/broken/01-the-end.png" in job.files


def test_a_browser_behind_an_address_does_as_well(client: Client) -> None:
    job = client.job(_run(client, BY_CDP))

    assert (job.status, job.error) == ("completed", None), parts.lines(client, job.id, "stderr")
    assert "e2e-results/by-cdp/01-the-form.png" in job.files


def test_the_workspaces_own_tests_pass(client: Client) -> None:
    job = client.job(_run(client, "@smoke.md"))

    assert (job.status, job.error) == ("completed", None), parts.lines(client, job.id, "stderr")
    assert "1 passed" in "\n".join(parts.lines(client, job.id))

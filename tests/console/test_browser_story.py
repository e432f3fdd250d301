"""A whole story in a real browser against a real installation: from signing in to cleaning up."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.screens import CHROMIUM
from tests.parts.stack import Stack, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.stack,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
]

RUNBOOK = """# Count

```bash
for i in $(seq 1 20); do echo "counting $i"; sleep 0.1; done
```

```python
open("result.json", "w").write('{"counted": 20}')
```
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running() as found:
        yield found


def archive(folder: Path) -> Path:
    path = folder / "counting.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("count.md")
        info.size = len(RUNBOOK.encode())
        tar.addfile(info, io.BytesIO(RUNBOOK.encode()))
    return path


def test_a_day_at_the_console(stack: Stack, tmp_path: Path) -> None:
    from tests.console.screens import Screen, chromium

    with chromium() as browser:
        screen = Screen(browser, stack.url, (stack.home / "admin.key").read_text().strip())
        page = screen.page

        # A workspace is uploaded.
        screen.go("/console/workspaces")
        page.set_input_files("#upload-file", archive(tmp_path))
        page.click(".upload-more button")
        page.wait_for_url("**/console/workspaces/counting")

        # A runbook of it runs, and is watched live.
        screen.go("/console/jobs/new?type=runbook_task&workspace=/workspaces/counting")
        page.fill("#prompt", "@count.md")
        page.click("text=Run the job")
        page.wait_for_url(re.compile(r"/console/jobs/job_"))
        page.wait_for_selector("text=counting 3")
        page.wait_for_selector(".badge.completed", timeout=60_000)

        # What it made is looked at.
        page.click(".job-main .tabs >> text=Files")
        page.click("text=result.json")
        page.wait_for_selector("pre:visible:has-text('counted')")

        # The talk goes on in the same sandbox.
        first = page.url
        page.fill("#continue textarea", "```bash\ncat result.json\n```")
        page.click("#continue button:has-text('Continue')")
        page.wait_for_url(lambda url: "/jobs/job_" in url and url.split("?")[0] not in first)
        page.wait_for_selector(".badge.completed", timeout=60_000)
        continued = page.url.split("?")[0]
        page.goto(f"{continued}?view=output")
        page.wait_for_selector("#term-box >> text=counted")

        # Another one is cancelled.
        screen.go("/console/jobs/new?type=command_task")
        page.fill("#command", "echo begun; sleep 600")
        page.click("text=Run the job")
        page.wait_for_selector("text=begun", timeout=60_000)
        page.click("text=Cancel")
        page.click("#confirm-yes")
        page.wait_for_selector(".badge.cancelled", timeout=60_000)

        # The sandbox is cleaned up.
        page.goto(continued)
        page.click("summary[title=More]")
        page.click("text=Clean up")
        page.click("#confirm-yes")
        page.wait_for_selector("text=deleted")

        assert screen.faults == []

"""Browser tests with the operator's browser, which is a real one outside of all sandboxes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from knify import settings as settings_module
from knify.client import Client
from knify.host import images
from tests.parts import stack as stack_part
from tests.stack import cdp, parts

pytestmark = [pytest.mark.stack, pytest.mark.podman, pytest.mark.slow, pytest.mark.timeout(1_800)]

#: Looks, while a page is open, for a browser in the sandbox and for what is said of the other one.
LOOK = """
```python
import glob, os, sys
sys.path.insert(0, "scripts")
import browser

with browser.application() as url, browser.session("by-cdp", url) as session:
    session.open("/users/new")
    session.page.get_by_label("Name").fill("Ada")
    session.page.get_by_label("Email").fill("ada@example.com")
    session.page.get_by_role("button", name="Create user").click()
    session.page.get_by_text("User created").wait_for()
    session.shot("the user is there")
    names = [open(p).read().strip() for p in glob.glob("/proc/[0-9]*/comm")]
    print("browsers here:", sum("chrom" in name for name in names))
print("interfaces:", os.listdir("/sys/class/net"))
print("url:", os.environ["BROWSERLESS_URL"])
```

```sh
cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' > seen.txt
wc -l seen.txt
```
"""


@pytest.fixture(scope="module")
def outside() -> Iterator[cdp.Guard]:
    """The browser, and the token that guards it."""
    images.ensure(settings_module.load(), "e2e", lambda _: None)
    with cdp.running() as guard:
        yield guard


@pytest.fixture(scope="module")
def stack(outside: cdp.Guard) -> Iterator[stack_part.Stack]:
    with stack_part.running(BROWSERLESS_URL=outside.url) as running:
        yield running


def _run(client: Client, prompt: str, **spec: object) -> str:
    job = client.create_job({"job_type": "fh_e2e_tools", "prompt": prompt} | spec)
    return client.wait(job.job_id, timeout=600).id


def test_a_browser_elsewhere_sees_the_sandboxes_page_and_its_token_is_nowhere(
    client: Client, stack: stack_part.Stack, outside: cdp.Guard, tmp_path: Path
) -> None:
    job = client.job(_run(client, LOOK))

    assert (job.status, job.error) == ("completed", None), parts.lines(client, job.id, "stderr")
    said = "\n".join(parts.lines(client, job.id))
    assert "browsers here: 0" in said and "interfaces: ['lo']" in said
    assert "url: http://127.0.0.1:8119/cdp" in said
    kept = {f"e2e-results/by-cdp/{n}" for n in ("01-the-user-is-there.png", "trace.zip")}
    assert kept | {"report.md", "seen.txt"} <= set(job.files)
    picture = client.download(job.id, "e2e-results/by-cdp/01-the-user-is-there.png", tmp_path)
    assert len(picture.file.read_bytes()) > 5_000
    assert any("/devtools/browser/" in line for line in outside.asked)
    seen = client.download(job.id, "seen.txt", tmp_path).file.read_text()
    assert "BROWSERLESS_URL=" in seen
    everything = [
        said,
        seen,
        str(client.events(job.id)),
        str(client.output(job.id)),
        _inspect(stack),
    ]
    everything += [path.read_text("latin-1") for path in (stack.home / "logs").glob("*")]
    everything.append("\n".join(_environments(stack, "worker", "api", "beat")))
    assert not [text for text in everything if cdp.TOKEN in text]


def test_the_documented_runbook_runs_there(client: Client, outside: cdp.Guard) -> None:
    before = len(outside.asked)

    job = client.job(_run(client, "Create a test user using the runbook @create-user.md"))

    assert (job.status, job.error) == ("completed", None), parts.lines(client, job.id, "stderr")
    shots = {name for name in job.files if name.endswith(".png")}
    assert len(shots) == 4 and len(outside.asked) > before
    report = parts.content(client, job.id, "report.md")
    assert all(f"]({shot})" in report for shot in shots)


def test_the_images_own_browser_is_there_for_who_wants_it(
    client: Client, outside: cdp.Guard
) -> None:
    before = len(outside.asked)

    job = client.job(_run(client, "@create-user.md", env={"BROWSERLESS_URL": ""}))

    assert (job.status, job.error, len(outside.asked)) == ("completed", None, before)


def _inspect(stack: stack_part.Stack) -> str:
    """Of all containers of this installation."""
    label = f"label=knify.installation={(stack.home / 'installation').read_text().strip()}"
    listed = ["podman", "ps", "-aq", "--filter", label]
    ids = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()
    assert ids
    told = subprocess.run(["podman", "inspect", *ids], check=False, capture_output=True, text=True)
    assert told.stdout.count("Config") >= 1
    return told.stdout


def _environments(stack: stack_part.Stack, *names: str) -> list[str]:
    return [Path(f"/proc/{stack.pid(part)}/environ").read_text("latin-1") for part in names]

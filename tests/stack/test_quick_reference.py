"""The three manifests of the quick reference, as printed, on real parts: Claude, git over TLS.

`github.com` is a server of ours here, and the model a stub; where a change is wanted, the prompt
tells the stub which.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from knify.client import Client
from knify.host import images
from tests.gateway import gitserver, web
from tests.parts import model_server
from tests.parts import stack as stack_part
from tests.parts.manifests import AUDIT, BUG_FIX, LARGE

pytestmark = [pytest.mark.podman, pytest.mark.stack, pytest.mark.slow]

AGENTS = "localhost/knify/agents:latest"


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[stack_part.Stack]:
    """One node that declares what the large manifest asks for."""
    if not images.exists(AGENTS):
        pytest.skip("the agents' image is not here: knify images build agents")
    folder = tmp_path_factory.mktemp("github")
    secret, certificate = web.certified(folder, "github.com")
    gitserver.repository(folder / "git", "org/app.git", {"app.py": "answer = 41\n"})
    bare = folder / "git" / "org" / "app.git"
    subprocess.run(["git", "branch", "production", "main"], cwd=bare, check=True)
    with (
        gitserver.running(folder / "git", secret, public="/org/") as git,
        model_server.running(keys={"sk-quick"}) as models,
        stack_part.running(
            KNIFY_EGRESS_HOSTS=f"github.com=127.0.0.1:{git}",
            KNIFY_EGRESS_CA=str(certificate),
            KNIFY_ANTHROPIC_BASE_URL=models.url,
            ANTHROPIC_API_KEY="sk-quick",
            KNIFY_SECRET_ENV="GITHUB_TOKEN",
            GITHUB_TOKEN="ghp_quick-reference",
            KNIFY_NODE_CPUS="16",
            KNIFY_NODE_MEMORY="32G",
            KNIFY_NODE_DISK="100G",
        ) as running,
    ):
        yield running


def ended(client: Client, manifest: str) -> str:
    """The id of a task that has run to its end."""
    task = client.wait_task(client.submit_task(manifest).task_id, timeout=120)
    assert (task.state, task.error) == ("completed", None)
    return task.id


@pytest.mark.parametrize("manifest", [BUG_FIX, AUDIT, LARGE], ids=["bug fix", "audit", "large"])
def test_the_printed_manifests_run_to_their_end(
    client: Client, own_stack: stack_part.Stack, manifest: str
) -> None:
    task_id = ended(client, manifest)

    made = {artifact.path for artifact in client.task_artifacts(task_id)}
    assert {f"{task_id}.patch", "metadata.json"} <= made


def test_the_patch_of_the_bug_fix_applies_to_a_fresh_clone(
    client: Client, own_stack: stack_part.Stack, tmp_path: Path
) -> None:
    work = "RUN echo 'answer = 42' > app.py; echo new > notes.txt"
    prompt = 'prompt: "Fix the bug in GitHub issue #42"'
    assert prompt in BUG_FIX
    task_id = ended(client, BUG_FIX.replace(prompt, f"prompt: |\n    Fix it\n    {work}"))

    client.download_task(task_id, f"{task_id}.patch", file=tmp_path / "fix.patch")
    (tmp_path / "app.py").write_text("answer = 41\n")
    subprocess.run(["git", "apply", "fix.patch"], cwd=tmp_path, check=True)

    assert (tmp_path / "app.py").read_text() == "answer = 42\n"
    assert (tmp_path / "notes.txt").read_text() == "new\n"


def test_the_audit_leaves_the_report_that_its_pattern_names(
    client: Client, own_stack: stack_part.Stack, tmp_path: Path
) -> None:
    work = "WRITE security-report.md: # All is well\n    WRITE other.md: not asked for"
    task_id = ended(client, AUDIT.replace("    3. Generate report", f"    {work}"))

    made = {artifact.path for artifact in client.task_artifacts(task_id)}

    assert made == {"security-report.md", f"{task_id}.patch", "metadata.json"}

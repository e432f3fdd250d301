"""Repositories in real sandboxes: cloned through the gateway, diffed behind the job."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knify import core as core_module
from knify import hints, model
from knify.client import Client
from tests import factories
from tests.gateway import gitserver
from tests.parts import stack as stack_part
from tests.stack.parts import content, lines, stages

URL = "https://git.test/team/app.git"


@pytest.fixture
def core(stack: stack_part.Stack) -> Iterator[core_module.Core]:
    made = core_module.connect(stack.settings)
    yield made
    made.store.client.close()


def submitted(core: core_module.Core, command: str, repository: model.Repository) -> str:
    wanted: dict[str, Any] = {"repository": repository, "image": core.settings.base_image}
    sandbox = factories.sandbox(image=wanted["image"], repository=repository)
    spec = factories.spec(command=("sh", "-c", command), **wanted)
    now = core.store.registry.now_ms()
    x = factories.execution(spec=spec, sandbox_id=sandbox.id, created_at=now)
    core.store.executions.submit(x, sandbox)
    hints.CeleryHints(core.settings.redis).advance(x.id)
    return x.id


def test_an_isolated_task_works_on_a_private_repository_and_leaves_a_patch(
    client: Client, core: core_module.Core, tmp_path: Path
) -> None:
    command = (
        "pwd; git log --format=%s; cat hello.txt; echo; echo changed > hello.txt; mkdir d; "
        "echo new > d/f; env | grep -ci proxy; git fetch 2>&1 | tail -1; cat .git/config; "
        "git -c user.name=a -c user.email=a@b commit -qam x"
    )

    job = client.wait(submitted(core, command, model.Repository(URL, "main")), timeout=60)

    said = lines(client, job.id)
    assert said[:4] == ["/workspace", "first", "hello from git", "0"], said
    assert "fatal" in said[4]  # the way to the server was shut before it began
    assert gitserver.LOGIN.partition(":")[2] not in "\n".join(said)
    assert job.status == "completed"
    about, made = content(client, job.id, "metadata.json"), tmp_path / "made.patch"
    made.write_text(content(client, job.id, f"{job.id}.patch"))
    (tmp_path / "hello.txt").write_text("hello from git")
    subprocess.run(["git", "apply", str(made)], cwd=tmp_path, check=True)
    assert (tmp_path / "hello.txt").read_text() == "changed\n"
    assert (tmp_path / "d" / "f").read_text() == "new\n"
    assert len(about["repository"]["start_commit"]) == 40
    told = stages(client, job.id)
    assert told.index("sandbox_created") < told.index("repository_cloned") < told.index("ready")


def test_a_repository_that_is_not_there_fails_the_task_in_words(
    client: Client, core: core_module.Core
) -> None:
    missing = model.Repository("https://git.test/team/none.git", "main")

    job = client.wait(submitted(core, "true", missing), timeout=60)

    assert job.status == "failed"
    assert "https://git.test/team/none.git/' not found" in (job.error or "")
    assert "agent_started" not in stages(client, job.id)

"""The testing workspace comes by itself, once for each tenant."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from knify.core import Core
from knify.services import shipped
from tests.api.parts import Api

DOCS = Path(__file__).parents[2] / "examples" / "docs" / "working-with-jobs"
SPEC = {"job_type": "fh_e2e_tools", "prompt": "@create-user.md"}


def _started_from(core: Core, job_id: str) -> Any:
    x = core.store.executions.find(job_id)
    assert x is not None
    return core.store.workspaces.find(x.spec.workspace_id or "")


def test_it_is_made_on_first_use_and_then_used_again(api: Api, core: Core) -> None:
    named = api.post("/jobs", {"spec": SPEC | {"workspace_path": "/workspaces/e2e-tests"}})
    unnamed = api.post("/jobs", {"spec": SPEC})

    assert named.status_code == unnamed.status_code == 200, named.text
    first, second = (_started_from(core, a.get_json()["job_id"]) for a in (named, unnamed))
    assert first == second
    assert (first.name, first.version, first.tenant) == ("e2e-tests", 1, "default")
    assert [w["name"] for w in api.get("/workspaces").get_json()] == ["e2e-tests"]


@pytest.mark.parametrize("name", ["e2e-automation", "user-investigation"])
def test_the_documented_jobs_are_accepted_as_printed(api: Api, name: str) -> None:
    answer = api.post("/jobs", json.loads((DOCS / f"{name}.json").read_text()))

    assert answer.status_code == 200, answer.text


def test_one_of_the_tenants_own_is_left_as_it_is(api: Api, core: Core) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("runbooks/mine.md"))
    mine = api.upload(packed.getvalue(), "e2e-tests.tar.gz").get_json()["workspace_id"]

    job = api.post("/jobs", {"spec": SPEC}).get_json()["job_id"]

    assert _started_from(core, job).id == mine


def test_a_version_that_is_not_there_is_not_made(api: Api) -> None:
    path = {"workspace_path": "/workspaces/e2e-tests@3"}

    assert api.post("/jobs", {"spec": SPEC | path}).status_code == 400


def test_it_holds_what_the_documentation_says() -> None:
    with tarfile.open(fileobj=io.BytesIO(shipped.archive())) as tar:
        names = set(tar.getnames())

    assert {"README.md", "config/test-config.json", "runbooks/create-user.md",
            "scripts/browser.py", "tests/test_users.py"} <= names  # fmt: skip
    assert not any("__pycache__" in name for name in names)
    assert shipped.archive() == shipped.archive()

"""A workspace with exports, and the program that reads them, run here instead of in a sandbox."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from knify.agents.exam import declared, main

Examine = Callable[..., dict[str, Any]]
JANUARY = (1_735_689_600_000, 1_738_367_999_999)  # 2025, UTC


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """An empty one."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def examine(workspace: Path) -> Examine:
    """Reads what a `sources.yaml` declares, for user u1 in January; keeps what it says."""

    def run(
        yaml: str, user_id: str = "u1", span: tuple[int, int] = JANUARY, seconds: float = 60
    ) -> dict[str, Any]:
        said: list[dict[str, Any]] = []
        plan = {
            "sources": declared.sources(declared.File("sources.yaml", yaml.encode())),
            "wanted": {
                "user_id": user_id,
                "start": span[0],
                "end": span[1],
                "workspace": str(workspace),
                "seconds": seconds,
            },
        }
        return main.examine(plan, said.append) | {"said": said}

    return run


def only(result: dict[str, Any]) -> dict[str, Any]:
    """The one source of a result, which was read."""
    (found,) = result["sources"]
    assert found["status"] == "ok", found
    return dict(found)


def failed(result: dict[str, Any]) -> str:
    """Why the one source of a result was not read."""
    (found,) = result["sources"]
    assert found["status"] == "error", found
    return str(found["error"])

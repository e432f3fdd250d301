"""What each task with a repository leaves beside its artifacts: a patch, and how it came about."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import knify
from knify import clock, collect, conflicts, custody, errors, masking, model, searching
from knify.core import Core
from knify.staging import patch
from knify.turn import Hands, Turn

log = logging.getLogger(__name__)

METADATA: Final = "metadata.json"
_ATTEMPTS: Final = 3  # with a sandbox that fails; then it goes without a patch
_SHARE: Final = 0.5  # of KNIFY_COLLECT_SECONDS
_HELD: Final = "withheld, it holds the value of a secret"
_CUT: Final = "the task was cancelled while it was made"


@dataclass(frozen=True, slots=True)
class Products:
    """What was made, and what could not be, in words for the user."""

    made: list[collect.Made] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    is_cut: bool = False  # somebody cancelled the job meanwhile


def name(x: model.Execution) -> str:
    """Of its patch."""
    return f"{x.task_id or x.id}.patch"


@contextlib.contextmanager
def of(core: Core, hands: Hands, turn: Turn, limit: int) -> Iterator[Products]:
    """To be stored within; nothing for what has no repository. SandboxError, to be taken again."""
    if turn.x.spec.repository is None:
        yield Products()
        return
    made, masks = _patch(core, hands, turn, limit), custody.hidden(core, turn)
    held = not isinstance(made, str) and bool(masks) and _is_held(masks, made)
    shown = _HELD if held else made
    content = _json(masks.clean(_about(turn.x, shown)))
    about = collect.Made(METADATA, [content], "application/json")
    if isinstance(made, str):
        yield Products([about], [f"{name(turn.x)}: there is none, {made}"], made is _CUT)
        return
    with contextlib.closing(made):
        found = collect.Made(name(turn.x), made.chunks(), "text/x-diff", is_patch=True)
        yield Products([found, about])


def _is_held(masks: masking.Masks, made: patch.Patch) -> bool:
    return searching.is_held(searching.patch(masks, made.chunks()))


def _patch(core: Core, hands: Hands, turn: Turn, limit: int) -> patch.Patch | str:
    check = hands.going(turn, core.settings.collect_seconds * _SHARE)
    try:
        return patch.make(core, hands, turn, limit, check)
    except errors.CutShort:
        return _CUT
    except (errors.SandboxError, conflicts.SandboxLost, errors.BadRequest, OSError) as failed:
        if turn.x.attempts < _ATTEMPTS and isinstance(failed, errors.SandboxError):
            raise
        log.warning("%s: its patch cannot be made: %s", turn.x.id, failed)
        return "its sandbox cannot make one"


def _about(x: model.Execution, made: patch.Patch | str) -> dict[str, Any]:
    """What is known of a task when its files are stored."""
    outcome, spec, now = x.outcome, x.spec, clock.now_ms()
    assert spec.repository is not None
    repository = {"start_commit": x.start_commit} | {
        key: getattr(spec.repository, key) for key in ("url", "branch", "commit", "subpath")
    }
    if isinstance(made, str):
        result: dict[str, Any] = {"error": made}
    else:
        result = {"name": name(x), "size_bytes": made.size, "sha256": made.sha256}
    return {
        "task_id": x.task_id or x.id,
        "execution_id": x.id,
        "parent_id": x.parent_id,
        "name": x.name,
        "labels": x.metadata,
        "job_type": spec.job_type,
        "model": spec.model,
        "session_id": x.session_id,
        "repository": repository,
        "patch": result,
        "profile": spec.profile,
        "image": spec.image,
        "image_digest": x.image_digest,
        "resources": {
            "cpus": spec.resources.cpus,
            "memory": spec.resources.memory,
            "disk": spec.resources.disk,
        },
        "network_mode": spec.network_mode,
        "created_at": clock.rfc3339(x.created_at),
        "started_at": clock.rfc3339(x.started_at) if x.started_at else None,
        "ended_at": clock.rfc3339(now),
        "outcome": outcome and outcome.kind,
        "succeeded": outcome and outcome.succeeded,
        "exit_code": x.exit_code,
        "error": x.error,
        "usage": x.usage,
        "cost_usd": outcome and outcome.cost_usd,
        "knify_version": knify.__version__,
    }


def _json(about: dict[str, Any]) -> bytes:
    return (json.dumps(about, indent=2) + "\n").encode()

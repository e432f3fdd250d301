"""How long each part of a job may take, and what becomes of its sandbox. All raise BadRequest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from knify import fields, units

#: What becomes of the sandbox: it is kept for its days; kept when the job fails, which is then
#: called so; deleted at the job's end.
ACTIONS: Final = ("keep", "preserve", "destroy")


def read(request: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `model.ExecutionSpec` that these are."""
    return {
        "timeout": fields.parsed(request, "timeout", units.parse_duration, 86_400.0),
        "hang_timeout": fields.parsed(request, "hang_timeout", units.parse_duration, None),
        "stage_timeout": fields.parsed(request, "stage_timeout", units.parse_duration, 900.0),
        "provision_timeout": fields.parsed(
            request, "provision_timeout", units.parse_duration, 600.0
        ),
        "failure_action": _action(request.get("failure_action", "keep")),
    }


def _action(action: str) -> str:
    if action not in ACTIONS:
        raise fields.bad("failure_action", f"failure_action is one of {', '.join(ACTIONS)}")
    return action

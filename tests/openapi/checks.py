"""Loaded by schemathesis: what its own checks cannot know about this API.

Each exception names its reason. Nothing is left out for being inconvenient.
"""

from __future__ import annotations

import json
import re
from typing import Any

import schemathesis
from schemathesis.specs.openapi import checks

from api import errors as api_errors

#: Refusals of well-formed requests that depend on what there is, not on how they look. The
#: contract makes them 400, where schemathesis accepts only 404 and 409 for such.
OF_STATE = {
    "spec.workspace_path",  # no such workspace: `workspace_path` must name an uploaded one
    *(f"repository.{name}" for name in ("url", "branch", "subpath")),  # what git and names allow
    "agent.image",  # the same of tasks
    "metadata.parent_id",  # no such task, or one that takes no children
    "spec.image",  # allowed, but on no node
    "spec.max_cost_usd",  # the operator gave no prices
    "spec.time_range.to",  # it lies before `from`, which no schema can compare
    "expires_at",  # a moment that has passed
    *("start", "end"),  # of a window: one with `since`, the other before it
    "filter",  # what an expression of RE2 is
    "schedule",  # no schema can say what cron means by five fields
    "timezone",  # hundreds of names, which change with the database
    "before",  # a job that is not known any more
    "Upgrade",  # who tests sends no handshake
    "after",  # an id that is ahead of the stream
    "Last-Event-ID",  # an id that is ahead of the stream
}
#: Well-formed requests whose refusal depends on earlier requests or on the clock.
CODES = {
    "IDEMPOTENCY_CONFLICT",  # the same key with another body
    "AGENT_NOT_CONFIGURED",  # the operator gave no credential for this agent
    "EGRESS_REFUSED",  # which hosts may be told is for resolvers and the operator's settings
    "TOO_LARGE",  # what is long enough is refused; JSON Schema cannot limit a body's bytes
}


def _refused_by_state(response: Any, case: Any) -> bool:
    try:
        body = json.loads(response.content)
    except ValueError:
        return False
    if response.status_code < 400:
        return False
    detail = body.get("detail", body.get("details"))
    field = detail.get("field") if isinstance(detail, dict) else None
    # No schema says what an archive is: `format: binary` may be anything.
    is_upload = case.operation.label == "POST /workspaces" and field is None
    is_secret = re.fullmatch(r"(?:spec\.)?secrets\.[0-9]+\.(?:key|name)", field or "")
    if is_secret:  # one that nobody keeps, or a name that stands twice
        return True
    code = body.get("code", body.get("error", "").upper())
    return code in CODES or field in OF_STATE or is_upload


@schemathesis.check
def accepts_what_the_schema_allows(ctx: Any, response: Any, case: Any) -> bool | None:
    """`positive_data_acceptance`, but for refusals that no schema can foresee."""
    if _refused_by_state(response, case):
        return None
    found: bool | None = checks.positive_data_acceptance(ctx, response, case)
    return found


@schemathesis.check
def every_answer_is_ours(ctx: Any, response: Any, case: Any) -> None:
    """A request id on each, and on each error the envelope."""
    assert response.headers.get("x-request-id"), "no X-Request-Id"
    if response.status_code >= 400 and response.request.method != "HEAD":
        body = json.loads(response.content)
        of_tasks = api_errors.of_tasks(case.operation.path)
        form = {"error", "message", "details"} if of_tasks else {"error", "detail", "code"}
        if api_errors.of_projects(case.operation.path):
            form |= {"message", "status"}
        assert set(body) == form, body

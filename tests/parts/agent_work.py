"""An agent at work while its gateway is hurt, and what must be true of its job afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from knify import model
from knify.gateway import estimates
from tests.parts.model_server import Models, Request

#: In a sandbox: until this is refused, which it is by every gateway, and told once.
_REFUSED = "until curl -s -m 9 -o /dev/null -w '%{http_code}' http://10.0.0.1/ | grep -q 403"
_STEP = f"RUN sleep 0.3; {_REFUSED}; do sleep 0.1; done"
REFUSAL = "GET 10.0.0.1:80 was refused"


def spec(image: str, key: str, steps: int = 8, **more: Any) -> dict[str, Any]:
    """A job of the stand-in for Codex that asks its model `steps` times, and tries again.

    `key`: by which its requests are known among those of others.
    """
    return {
        "job_type": "codex_task",
        "image": image,
        "prompt": "\n".join([*([_STEP] * (steps - 1)), f"SAY All done, {key}"]),
        "network_mode": "full",
        "env": {"STANDIN_RETRIES": "300"},
    } | more


def asked(models: Models, key: str) -> int:
    """How often its model was asked so far."""
    return sum(key in str(request.body) for request in list(models.asked))


def wrong(
    x: model.Execution, models: Models, key: str, details: Iterable[str], *, hurts: int
) -> Iterator[str]:
    """What is not as it has to be; `details` of its history.

    Its agent tells the totals of those answers that it got. Of those that were sent, some may have
    been cut: each of the `hurts` of its gateway leaves a call at its estimate, whatever came of it.
    """
    said = (x.said.usage if x.said else None) or {}
    saw = said.get("input_tokens", 0) + said.get("output_tokens", 0)
    counted = (x.usage or {}).get("total_tokens", 0)
    calls = [(_sent(r), estimate(r)) for r in list(models.asked) if key in str(r.body)]
    beyond = sorted((most - sent for sent, most in calls), reverse=True)
    most = sum(sent for sent, _ in calls) + sum(max(0, more) for more in beyond[:hurts])
    if not saw <= counted <= most:
        yield f"{counted} tokens are counted: its agent saw {saw}, its model sent {most}"
    told = sum(detail.startswith(REFUSAL) for detail in details)
    if told != 1:
        yield f"a refusal stands {told} times in its history"


def _sent(request: Request) -> int:
    """Tokens of an answer that was sent whole."""
    return request.tokens.into + request.tokens.out if request.tokens else 0


def estimate(request: Request) -> int:
    """What the gateway may take the call for: by the longest form in which its JSON may come."""
    path = request.path
    vendor = "anthropic" if "/messages" in path else "google" if "/models/" in path else "openai"
    return estimates.tokens(vendor, request.body, len(json.dumps(request.body)))

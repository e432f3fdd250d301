"""`Idempotency-Key` on routes that create: the first answer, said again for 24 hours.

Put `@idempotency.replays` right below `@blp.needs(…)` on the route of a POST that creates
something, and let what it makes take its id (and secrets) from this request's seed:

    @blp.route("/things", methods=["POST"])
    @blp.needs("write")
    @idempotency.replays
    @blp.arguments(schemas.NewThing)
    @blp.response(200, schemas.Thing)
    def create_thing(body): ...
        things.create(…, id=idempotency.new_id("thing"))

Then the same key with the same path and body replays the first 2xx answer with
`Idempotent-Replayed: true`; with others it is IDEMPOTENCY_CONFLICT. A refusal (4xx) is not kept.
While the first request is at work, a second one waits for its answer. When the process dies, or
Redis's reply is lost, the next request with the key does the work again with the same seed: what
was made by then has that id already, and a write that comes twice must do no more than one.

Answers are JSON and stand sealed in Redis, so they may hold secrets. Keys are told apart by the
API key that sent them, so that no one is shown another one's secret. Bodies that are not JSON need
a `digest` of their own: `@idempotency.replays_with(digest=…)`. Jobs do not need this: there the
script that accepts them keeps the first answer (`bodies.idempotency`).
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from typing import Any, Final, cast

import flask
import redis
from werkzeug import exceptions as http

from api import auth, bodies, context
from api import errors as api_errors
from knify import conflicts, errors, ids
from knify.store import replays as store_replays

WAIT_SECONDS: Final = store_replays.BUSY_SECONDS + 5
POLL_SECONDS: Final = 0.05
REPLAYED: Final = "Idempotent-Replayed"
_MARK: Final = "knify_replays"


def replays(view: auth.View) -> auth.View:
    """Mark a handler of JSON bodies, see above."""
    return replays_with()(view)


def replays_with(
    *,
    digest: Callable[[], str] = bodies.digest,
    seconds: float = store_replays.KEPT_SECONDS,
) -> Callable[[auth.View], auth.View]:
    """`digest`: of this request's path and body; `seconds`: how long an answer is of use."""

    def mark(view: auth.View) -> auth.View:
        @functools.wraps(view)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            key = bodies.idempotency_key()
            if key is None:
                return view(*args, **kwargs)
            name = f"{context.tenant()}:{context.key().id}:{key}"
            return _once(name, digest(), seconds, lambda: view(*args, **kwargs))

        setattr(wrapped, _MARK, True)
        return cast(auth.View, wrapped)

    return mark


def is_replayed(view: Any) -> bool:
    """Whether a handler has that mark, for the API's description."""
    return bool(getattr(view, _MARK, False))


def seed() -> str:
    """What ids and secrets of this request are made from; the same one when it is repeated."""
    return cast(str, flask.g.setdefault("seed", ids.new("seed")))


def new_id(prefix: str) -> str:
    """As `ids.new`, and the same id when this request is repeated: for one thing a request."""
    return f"{prefix}_{seed().removeprefix('seed_')}"


def _once(
    name: str, digest: str, seconds: float, work: Callable[[], Any]
) -> flask.typing.ResponseReturnValue:
    store, owner = context.core().store.replays, flask.g.request_id + ids.nonce()
    begun = _begin(name, digest, owner)
    if begun.verdict == "done":
        return _replayed(begun.answer)
    flask.g.seed = begun.seed
    try:
        response = flask.make_response(work())
    except redis.RedisError:
        raise  # it would not answer now either, and the next request takes over soon
    except Exception as failed:
        end = store.refused if _is_refusal(failed) else store.failed
        end(name, owner)
        raise
    store.answered(name, owner, _kept(response), seconds=seconds)
    return response


def _begin(name: str, digest: str, owner: str) -> store_replays.Begun:
    """Wait while another request does this work; it is over, or given up, within WAIT_SECONDS."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        begun = context.core().store.replays.begin(name, digest, owner)
        if begun.verdict != "busy":
            return begun
        if time.monotonic() > deadline:
            raise conflicts.IdempotencyBusy(detail={"field": bodies.IDEMPOTENCY_KEY})
        time.sleep(POLL_SECONDS)


def _is_refusal(failed: Exception) -> bool:
    """Whether nothing was done."""
    if isinstance(failed, http.HTTPException):
        return (failed.code or 500) < 500
    return isinstance(failed, errors.KnifyError) and api_errors.status_of(failed) < 500


def _kept(response: flask.Response) -> str:
    answer = {"status": response.status_code, "body": response.get_data(as_text=True)}
    return context.core().sealed.seal(json.dumps(answer))


def _replayed(answer: str) -> flask.Response:
    first = json.loads(context.core().sealed.unseal(answer))
    response = flask.Response(first["body"], first["status"], mimetype="application/json")
    response.headers[REPLAYED] = "true"
    return response

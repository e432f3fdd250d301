"""The connection to Redis and its scripts; errors come out as `knify.errors`."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any, Final, TypeAlias

import redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from knify import conflicts, counters, errors, failpoints
from knify.store import keys, places

#: redis-py's own annotations allow bytes everywhere, whatever `decode_responses` says.
Client: TypeAlias = Any

#: Connections of one process. Who finds none free waits: hundreds opened at once overrun the
#: server's queue of new ones.
CONNECTIONS: Final = 64
#: Seconds for which he waits. A thousand clients that come back at once are let in one by one.
CROWD_SECONDS: Final = 8.0

_REPLICA_MS: Final = 1_000  # within which replicas have to have a write

#: Put before every script, in this order.
_SHARED: Final = (
    *("prelude.lua", "webhooks.lua", "admission.lua", "placement.lua"),
    *("family.lua", "runs.lua", "accept.lua"),
)

#: Script replies that are errors, and what each is for a caller.
_PROBLEMS: Final[dict[str, type[errors.KnifyError]]] = {
    "NOT_FOUND": errors.NotFound,
    "LEASE_LOST": errors.LeaseLost,
    "ILLEGAL_TRANSITION": conflicts.IllegalTransition,
    "OUT_OF_ORDER": errors.LeaseLost,
    "STORE_NEWER": errors.StoreNewer,
    "NODE_ALIVE": conflicts.NodeAlive,
    "WORKSPACE_NONE": errors.WorkspaceNone,
    "UPLOAD_LATE": errors.ObjectStoreError,
    "DUPLICATE_TASK_ID": conflicts.DuplicateTaskId,
    "PARENT_NONE": errors.NotFound,
    "PARENT_ENDED": conflicts.ParentEnded,
    "TOO_MANY_CHILDREN": conflicts.TooManyChildren,
    "IDEMPOTENCY_CONFLICT": errors.IdempotencyConflict,
    "KEY_GONE": conflicts.KeyGone,
    "KEY_CHANGED": conflicts.KeyChanged,
    "LAST_ADMIN_KEY": conflicts.LastAdminKey,
    "TOO_MANY_KEYS": conflicts.TooManyKeys,
    "SECRET_LIMIT": conflicts.SecretLimit,
    "WEBHOOK_LIMIT": conflicts.WebhookLimit,
    "WEBHOOK_INACTIVE": conflicts.WebhookInactive,
    "DEFINITION_GONE": errors.NotFound,
    "DEFINITION_CHANGED": conflicts.DefinitionChanged,
    "NAME_TAKEN": conflicts.NameTaken,
    "TOO_MANY_DEFINITIONS": conflicts.TooManyDefinitions,
    "RETRY_GONE": conflicts.RetryGone,
    "SANDBOX_BUSY": conflicts.SandboxBusy,
    "SANDBOX_NONE": conflicts.SandboxNone,
    "SANDBOX_DELETED": conflicts.SandboxDeleted,
    "SANDBOX_EXPIRED": errors.SandboxExpired,
    "SANDBOX_LOST": conflicts.SandboxLost,
}


def connect(url: str, *, timeout: float = 1.5, retries: int = 1) -> Client:
    """A client whose calls fail within about `timeout` seconds instead of hanging.

    One retry covers a connection that Redis closed while it was idle; a silent one is not
    asked twice, so that callers get their answer in time. With `retries` 0 nothing is said twice.
    """
    pool = _Pool(  # type: ignore[no-untyped-call]
        **places.options(url),
        max_connections=CONNECTIONS,
        timeout=CROWD_SECONDS,
        decode_responses=True,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), retries, supported_errors=(redis.ConnectionError,)),
        **keepalive(url),
    )
    return redis.Redis.from_pool(pool)


@contextlib.contextmanager
def out_of_reach() -> Iterator[None]:
    """Within the block, whoever asks for a connection gets a RuntimeError.

    Under gevent, sockets and locks belong to the thread that made them. A connection used in
    another one fails there, and afterwards for whom the pool gives it to.
    """
    token = _is_out_of_reach.set(True)
    try:
        yield
    finally:
        _is_out_of_reach.reset(token)


def refuse_out_of_reach() -> None:
    """RuntimeError within such a block."""
    if _is_out_of_reach.get():
        raise RuntimeError("Redis and hints are out of reach of what runs aside: do it before")


_is_out_of_reach = contextvars.ContextVar("out_of_reach", default=False)


class _Pool(redis.BlockingConnectionPool):
    def get_connection(self, *arguments: Any, **options: Any) -> Any:
        """See redis."""
        refuse_out_of_reach()
        return super().get_connection(*arguments, **options)  # type: ignore[no-untyped-call]


def now_ms(client: Client) -> int:
    """Redis's own time, ms since the epoch: the one clock of all records."""
    seconds, micros = client.time()
    return int(seconds) * 1000 + int(micros) // 1000


def keepalive(url: str) -> dict[str, Any]:
    """The option for connections over TCP; those over a Unix socket refuse it."""
    return {} if url.startswith("unix:") else {"socket_keepalive": True}


class _Script(Script):
    """One whose digest is known: making it anew costs more than most calls."""

    def __init__(self, client: Client, text: str, sha: str) -> None:
        self.registered_client, self.script, self.sha = client, text, sha


@functools.cache
def _sources() -> dict[str, tuple[str, str]]:
    """Text and digest of each script, by name."""
    folder = resources.files("knify.store") / "lua"
    prelude = "".join((folder / name).read_text() for name in _SHARED)
    texts = {
        item.name.removesuffix(".lua"): prelude + item.read_text()
        for item in folder.iterdir()
        if item.name.endswith(".lua") and item.name not in _SHARED
    }
    return {
        name: (text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
        for name, text in texts.items()
    }


class Scripts:
    """The Lua files beside this module, callable by name."""

    def __init__(self, client: Client) -> None:
        """Nothing is sent: each script is loaded by its first call, and again after a flush."""
        self._scripts = {name: _Script(client, *known) for name, known in _sources().items()}

    def call(self, name: str, *arguments: str | int | float, client: Client | None = None) -> Any:
        """The script's reply; its error replies become the matching KnifyError.

        `client`: another one than its own, such as one with a single connection.
        """
        failpoints.hit(f"script.{name}", "before")
        try:
            answer = self._scripts[name](keys=[], args=arguments, client=client)
        except redis.ResponseError as failed:
            words = str(failed).split()
            problem = next((_PROBLEMS[word] for word in words if word in _PROBLEMS), None)
            if problem is None:
                raise
            if problem is errors.LeaseLost:
                counters.add("knify_fences_refused")
            raise problem() from failed
        failpoints.hit(f"script.{name}", "after")
        return answer


class Replicas:
    """Waits until what was written is on more than one machine, where the operator wants that."""

    def __init__(self, client: Client, count: int) -> None:
        """`count`: replicas that must have a write; 0 asks nobody."""
        self._client = client
        self._count = count

    @contextlib.contextmanager
    def having(self) -> Iterator[Client | None]:
        """A client whose writes within the block are on the replicas at its end.

        NotReplicated when they do not say so in time: what was written may be lost with the
        primary, and it may as well last.
        """
        if not self._count:
            yield None
            return
        with self._client.client() as one:  # WAIT asks for the writes of its own connection
            yield one
            if int(one.execute_command("WAIT", self._count, _REPLICA_MS)) < self._count:
                raise errors.NotReplicated()

    def confirm(self) -> None:
        """All that was written before this call, by whomever, is on them. NotReplicated."""
        with self.having() as one:
            if one is not None:
                one.incr(keys.CONFIRMED)


def pairs(flat: list[str]) -> dict[str, str]:
    """The fields of a HGETALL reply that a script passed on."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def changes(fields: Mapping[str, str | None]) -> str:
    """Changed hash fields as a script takes them; None removes a field."""
    return _encode(fields)


#: Made once: `json.dumps` makes an encoder of its own for every value.
_encode = json.JSONEncoder(separators=(",", ":")).encode

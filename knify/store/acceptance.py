"""How an execution comes to be: accepted once for each Idempotency-Key, and by replicas, too."""

from __future__ import annotations

import json

from knify import errors, model
from knify.store import codec, keys, replies, terms
from knify.store.redis import Client, Replicas, Scripts, changes


class Acceptance:
    """The door through which executions come in."""

    def __init__(
        self, client: Client, scripts: Scripts, *, sandbox_ttl_ms: int, replicas: int = 0
    ) -> None:
        """`sandbox_ttl_ms`: how long a sandbox is kept after its last terminal turn.

        `replicas`: how many must have what was accepted before that is said.
        """
        self.replicas = Replicas(client, replicas)
        self._client = client
        self._scripts = scripts
        self._sandbox_ttl_ms = sandbox_ttl_ms

    def submit(
        self,
        x: model.Execution,
        sandbox: model.Sandbox | None,
        *,
        idempotency_key: str = "",
        digest: str = "",
    ) -> replies.Submitted:
        """Accept `x` in a new `sandbox`, or (None) as the next turn of `x.sandbox_id`.

        Its answer is the first submission's when this Idempotency-Key was used.
        Raises IdempotencyConflict, DuplicateTaskId, NotFound (its parent), ParentEnded,
        TooManyChildren, SandboxNone, SandboxDeleted, SandboxExpired, SandboxLost; NotReplicated,
        and it is accepted all the same.
        """
        with self.replicas.having() as one:
            return self._submit(x, sandbox, idempotency_key, digest, one)

    def _submit(
        self,
        x: model.Execution,
        sandbox: model.Sandbox | None,
        idempotency_key: str,
        digest: str,
        client: Client | None,
    ) -> replies.Submitted:
        made = changes(codec.sandbox_fields(sandbox)) if sandbox else ""
        verdict, said = self._scripts.call(
            "submit",
            x.id,
            changes(codec.execution_fields(x)),
            x.sandbox_id or "",
            made,
            idempotency_key,
            digest,
            f"{x.spec.job_type} accepted",
            *terms.of(x.metadata, x.child_of),
            client=client,
        )
        if verdict == "replayed":
            return replies.Submitted(replies.Answer.of(json.loads(said)), replayed=True)
        answer = replies.Answer(x.id, x.sandbox_id, x.parent_id, x.session_id)
        return replies.Submitted(answer, look=replies.look(said))

    def replayed(self, tenant: str, idempotency_key: str, digest: str) -> replies.Answer | None:
        """What this Idempotency-Key's first submission was told; None for a new key.

        Raises IdempotencyConflict when it was used with another body.
        """
        seen = self._client.get(keys.idempotency(tenant, idempotency_key))
        first = json.loads(seen) if seen else None
        if first and first["digest"] != digest:
            raise errors.IdempotencyConflict()
        return replies.Answer.of(first) if first else None

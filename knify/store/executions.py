"""Executions in Redis. Every function that changes one is a single atomic script."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from knify import conflicts, errors, lifecycle, model
from knify.lifecycle import State
from knify.store import codec, keys, replies
from knify.store.acceptance import Acceptance
from knify.store.redis import changes, pairs

#: Written as a field's value, a script puts Redis's own time there.
NOW = "@now"

#: What a change of state tells a tenant's webhooks.
_SIGNALS = {
    State.RUNNING: "job.started",
    State.COMPLETED: "job.completed",
    State.FAILED: "job.failed",
    State.FAILED_PRESERVED: "job.failed",
    State.CANCELLED: "job.cancelled",
}


class Executions(Acceptance):
    """All that can be done to executions."""

    def claim(
        self, execution_id: str, *, owner: str, node: str, lease_ms: int, slots: int, dead: str = ""
    ) -> replies.Claim:
        """Take the lease. `dead`: an owner proved dead, whose lease counts for nothing.

        With 0 `slots` the node takes nothing new; what is active there goes on.
        """
        verdict, *rest = self._scripts.call(
            "claim", execution_id, owner, node, lease_ms, slots, dead
        )
        if verdict == "claimed":
            return replies.Claim(verdict, codec.execution(pairs(rest[2:])), rest[0], rest[1])
        if verdict in ("kept", "stale", "leftover"):
            return replies.Claim(verdict, other=rest[0] if rest[1:] else "", sandbox=rest[-1])
        other, following = (*rest, "", "")[:2]
        return replies.Claim(verdict, other=other, next=following)

    def renew(self, held: Sequence[tuple[str, int]], *, lease_ms: int) -> list[str]:
        """Extend leases (pairs of id and fence).

        For each: ok, cancel or kill (was asked for), over (its budget is used up), or lost.
        """
        flat = [word for pair in held for word in pair]
        answers: list[str] = self._scripts.call("renew", lease_ms, *flat) if held else []
        return answers

    def release(self, x: model.Execution, *, delay_ms: int = 0, **fields: Any) -> None:
        """Give the lease back; another worker may claim after `delay_ms`. Raises LeaseLost."""
        self._scripts.call("release", x.id, x.fence, delay_ms, _encode(fields))

    def move(
        self,
        x: model.Execution,
        to: State,
        *,
        stage: str = "",
        detail: str = "",
        level: str = "info",
        sandbox: dict[str, Any] | None = None,
        entries: Sequence[dict[str, Any]] = (),
        **fields: Any,
    ) -> replies.Moved:
        """One step along the state table, with its event, in one atomic call.

        `stage` is the event's name (default: the state's), `fields` change the record, `sandbox`
        changes its sandbox's record, `entries` are appended to the output.
        Raises LeaseLost when another worker owns it, IllegalTransition when it is elsewhere.
        """
        lifecycle.check(x.state, to)
        if x.attempts:
            fields["attempts"] = None  # they count for one state
        stage = stage or to.value
        try:
            return self._apply(x, to, stage, detail, level, sandbox or {}, entries, fields)
        except conflicts.IllegalTransition:
            now = self.find(x.id)  # perhaps this very call, repeated after a lost answer
            if now is None or (now.state, now.fence) != (to, x.fence):
                raise
            return replies.Moved(now)

    def note(
        self,
        x: model.Execution,
        stage: str,
        detail: str,
        *,
        level: str = "info",
        sandbox: dict[str, Any] | None = None,
        **fields: Any,
    ) -> model.Execution:
        """An event without a change of state; fenced like one. An empty `stage` writes none."""
        return self._apply(x, None, stage, detail, level, sandbox or {}, (), fields).execution

    def _apply(
        self,
        x: model.Execution,
        to: State | None,
        stage: str,
        detail: str,
        level: str,
        sandbox: dict[str, Any],
        entries: Sequence[dict[str, Any]],
        fields: dict[str, Any],
    ) -> replies.Moved:
        flat, hints = self._scripts.call(
            "transition",
            x.id,
            x.fence,
            x.state,
            to or "",
            "1" if to in lifecycle.TERMINAL else "",
            _encode(fields),
            stage,
            level,
            detail.encode("utf-8", "replace").decode(),  # file names may hold surrogates
            _SIGNALS.get(to, "") if to else "",
            _encode(sandbox),
            json.dumps(lifecycle.sandbox_before(sandbox["state"])) if "state" in sandbox else "[]",
            self._sandbox_ttl_ms,
            x.entries + 1,
            *(json.dumps(entry, separators=(",", ":")) for entry in entries),
        )
        return replies.Moved(codec.execution(pairs(flat)), tuple(hints))

    def append(
        self,
        x: model.Execution,
        entries: Sequence[str],
        *,
        lines: int,
        out: int,
        err: int,
        said: model.Said | None = None,
        tools: tuple[int, str | None] | None = None,
    ) -> model.Execution:
        """Store output entries (JSON texts) behind `x.entries`, and how far each stream was read.

        `lines`, `out`, `err` are the new totals, `said` is what the agent has told with all that,
        `tools` how many tools it began, and which one it is at.
        Sent twice, they are stored once.
        """
        totals: dict[str, Any] = {"lines": lines, "out_bytes": out, "err_bytes": err}
        told: dict[str, Any] = {} if said in (None, x.said) else {"said": said}
        if told and said and said.session_id:
            told["session_id"] = said.session_id
        if tools is not None and tools != (x.tool_calls, x.current_tool):
            told |= {"tool_calls": tools[0], "current_tool": tools[1]}
        self._scripts.call("append", x.id, x.fence, x.entries + 1, _encode(totals | told), *entries)
        return x.evolve(
            entries=x.entries + len(entries),
            lines=lines,
            out_bytes=out,
            err_bytes=err,
            **told,
            tail_bytes=x.tail_bytes + sum(map(len, entries)),
        )

    def cancel(
        self, execution_id: str, reason: str, final: dict[str, Any], *, force: bool = False
    ) -> tuple[str, list[str]]:
        """Ask for cancellation: ('cancelled', hints), ('asked', [node]), ('terminal', [state]).

        `final` is the output's last entry, used when nobody works on it and it ends at once.
        `force`: without time to end by itself.
        """
        entry = json.dumps(final, separators=(",", ":"))
        verdict, *rest = self._scripts.call(
            "cancel", execution_id, reason, self._sandbox_ttl_ms, entry, "1" if force else ""
        )
        if verdict == "missing":
            raise errors.NotFound()
        return verdict, rest

    def lose(
        self,
        execution_id: str,
        node: str,
        limit_ms: int,
        reason: str,
        final: dict[str, Any],
        usage: dict[str, int] | None = None,
    ) -> tuple[str, list[str]]:
        """End it as `host_lost`, if its sandbox's node was silent for that long.

        ('lost', hints), or why it was left alone: ended, alive, held (a living lease), early.
        `usage`: what it took of models.
        """
        outcome = codec.dump(model.Outcome("host_lost", error=reason, usage=usage)) or ""
        entry = json.dumps(final, separators=(",", ":"))
        verdict, *hints = self._scripts.call(
            "lose",
            execution_id,
            node,
            limit_ms,
            reason,
            outcome,
            self._sandbox_ttl_ms,
            entry,
            codec.dump(usage) or "",
        )
        return verdict, hints

    def due(self, *, again_ms: int, most: int = 500, far_ms: int = 2**40) -> list[tuple[str, str]]:
        """(id, node or '') of what nobody works on though its time has come.

        What is more than `far_ms` ahead was put there before the clock stepped back: due, too.
        """
        flat = self._scripts.call("due", again_ms, most, far_ms)
        return list(zip(flat[::2], flat[1::2], strict=True))

    def find(self, execution_id: str) -> model.Execution | None:
        """The record, or None."""
        fields = self._client.hgetall(keys.execution(execution_id))
        return codec.execution(fields, execution_id) if codec.is_there(fields) else None

    def is_to_end(self, execution_id: str) -> bool:
        """Whether its cancellation was asked for."""
        return self._client.hget(keys.execution(execution_id), "cancel_requested_at") is not None

    def get(self, execution_id: str, *, tenant: str) -> model.Execution:
        """The record; NotFound also when another tenant owns it, or it is being deleted."""
        x = self.find(execution_id)
        if x is None or x.tenant != tenant or x.deleting:
            raise errors.NotFound(f"no job {execution_id}")
        return x

    def get_many(self, ids: Iterable[str]) -> list[model.Execution]:
        """The records that exist, in the order of `ids`, in one round trip."""
        wanted = list(ids)
        pipe = self._client.pipeline(transaction=False)
        for execution_id in wanted:
            pipe.hgetall(keys.execution(execution_id))
        found = zip(wanted, pipe.execute(), strict=True)
        return [codec.execution(fields, name) for name, fields in found if codec.is_there(fields)]

    def active(self, node: str) -> list[model.Execution]:
        """The executions that occupy a slot of the node."""
        return self.get_many(sorted(self._client.smembers(keys.active(node))))


def _encode(fields: dict[str, Any]) -> str:
    return changes({name: codec.dump(value) for name, value in fields.items()})

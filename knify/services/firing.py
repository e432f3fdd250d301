"""Due times become runs. The one that calls this is beat; several of them may do it side by side.

What a due time comes to is one script call, which moves the definition past that time and makes
the run. Who dies before it has changed nothing, and the time is taken again by somebody after a
moment; who dies behind it has done it. So no time makes two runs, and none is lost.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from typing import Final

from knify import conflicts, definitions, errors, ids, model
from knify.core import Core
from knify.definitions import Definition
from knify.services import history, jobs, schedules, specs
from knify.store import codec, replies, terms
from knify.store.definitions import NewRun, Step
from knify.store.redis import changes

log = logging.getLogger(__name__)

MOST: Final = 50  # of one call: it keeps others waiting for some ms
_BYTES: Final = 4 * 1024**2  # of records in one call
_FRESH: Final = 2.0  # seconds for which a spec counts as checked
_KNOWN: Final = 8 * 1024**2  # characters of the specs that are remembered


class Firing:
    """What one beat knows while it makes runs."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._specs: dict[tuple[str, str], tuple[float, model.ExecutionSpec]] = {}
        self._size = 0  # characters of all keys of it, as long as what they stand for

    def work(self) -> int:
        """Take some of what is due and do it; how much it was."""
        self.set_back()
        return self.fire() + self.retry()

    def set_back(self) -> None:
        """Where the clock was put back far, all that it had been ahead with is planned anew."""
        store = self._core.store
        now, steps = store.registry.now_ms(), []
        found = store.definitions.of_later(now)
        for d in found:
            plan = definitions.put_back(d, now)
            steps += [] if plan is None else [Step(d, plan, [])]
        for first in range(0, len(steps), MOST):
            store.definitions.fire(steps[first : first + MOST])
        if found:
            log.warning("the clock was put back: %d schedules are planned anew", len(steps))
            store.definitions.believe()

    def fire(self) -> int:
        """Due times; how many definitions were looked at."""
        now, due = self._core.store.definitions.take(MOST)
        batch: list[Step] = []
        size = 0
        for d in due:
            step = self._step(d, now)
            if step is None:
                continue
            batch.append(step)
            size += sum(len(run.record) for run in step.runs)
            if size > _BYTES:
                self._commit(batch)
                batch, size = [], 0
        self._commit(batch)
        return len(due)

    def retry(self) -> int:
        """Failed runs that are to be tried again; how many there were."""
        found = self._core.store.runs.take_retries(MOST)
        for execution_id in found:
            try:
                self._retry(execution_id)
            except errors.ObjectStoreError as away:
                log.warning("the retry of %s waits: %s", execution_id, away)
            except Exception:  # one that cannot be handled must not keep the others
                log.exception("the retry of %s is put off", execution_id)
        return len(found)

    def _step(self, d: Definition, now: int) -> Step | None:
        plan = definitions.decide(d, now)
        try:
            return Step(d, plan, [self._run(d, at) for at in plan.times])
        except (errors.ObjectStoreError, errors.StoreUnavailable) as away:
            log.warning("the schedule of %s waits: %s", d.id, away)
            return None  # somebody takes it again in a moment
        except errors.KnifyError as failed:
            why = failed.message
        except Exception:  # one that cannot be handled must not keep the others
            log.exception("%s makes no run", d.id)
            why = "an error of the server's, which is in beat's log"
        log.warning("%s makes no run: %s", d.id, why)
        return Step(d, definitions.Plan(plan.next_at, plan.last_at, [], why), [])

    def _run(self, d: Definition, at: int) -> NewRun:
        wanted = self._spec(d)
        run = model.Run("schedule", at, 1, d.retries, d.retry_backoff_seconds * 1000)
        submission = jobs.Submission(d.request, name=d.name, definition=d.id, run=run)
        new = ids.new(schedules.PREFIX)
        sandbox = jobs.new_sandbox(self._core, d.tenant, wanted, new)
        x = jobs.new_execution(d.tenant, submission, wanted, new, sandbox.id)
        return NewRun(
            x.id,
            changes(codec.execution_fields(x)),
            sandbox.id,
            changes(codec.sandbox_fields(sandbox)),
            f"{wanted.job_type} accepted",
            "".join(terms.of_metadata(x.metadata)),
        )

    def _spec(self, d: Definition) -> model.ExecutionSpec:
        key, now = (d.tenant, json.dumps(d.request)), time.monotonic()
        known = self._specs.get(key)
        if known and known[0] > now:
            return known[1]
        wanted = specs.prepare(self._core, d.tenant, d.request)
        self._remember(key, (now + _FRESH, wanted))
        return wanted

    def _remember(self, key: tuple[str, str], known: tuple[float, model.ExecutionSpec]) -> None:
        if self._size + len(key[1]) > _KNOWN:
            self._specs.clear()
            self._size = 0
        if key not in self._specs:
            self._size += len(key[1])
        self._specs[key] = known

    def _commit(self, steps: Sequence[Step]) -> None:
        if not steps:
            return
        fired = self._core.store.definitions.fire(steps)
        for execution_id in fired.asked:
            jobs.cancel_any(self._core, execution_id, "replaced by a newer run")
        for execution_id, said in zip(fired.made, fired.looks, strict=True):
            look = replies.look(said)
            if look is not None:
                self._core.hints.advance(execution_id, look)
        if fired.made:
            log.info("%d due schedules made %d runs", len(steps), len(fired.made))

    def _retry(self, execution_id: str) -> None:
        x = self._core.store.executions.find(execution_id)
        definition = (x and x.definition) or ""
        d = self._core.store.definitions.find(definition) if definition else None
        if x is None or x.run is None or x.deleting or d is None:
            self._core.store.runs.drop_retry(execution_id, definition)
            return
        try:
            self._try_again(x, x.run)
        except errors.ObjectStoreError:
            raise
        except (conflicts.RetryGone, errors.NotFound):
            pass  # another beat has done it, or nobody wants it any more
        except errors.KnifyError as failed:
            log.warning("%s is not tried again: %s", execution_id, failed.message)
            self._core.store.runs.drop_retry(execution_id, definition)

    def _try_again(self, x: model.Execution, run: model.Run) -> None:
        """As it was, overrides included, and not as the definition is by now."""
        again = run.evolve(trigger="retry", attempt=run.attempt + 1)
        whole = history.whole(self._core, x)
        submission = jobs.Submission(
            whole.request,
            name=x.name,
            definition=x.definition,
            run=again,
            retry_of=x.id,
            traceparent=whole.traceparent,
        )
        jobs.submit(self._core, x.tenant, submission, prefix=schedules.PREFIX)

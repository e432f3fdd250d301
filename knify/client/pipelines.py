"""Stages that follow each other in one sandbox, until one of them does not complete."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from knify import errors as knify_errors
from knify.client import records, steps, waiting
from knify.client.calls import jobs, output


@dataclass(frozen=True, slots=True)
class StageResult:
    """What came of a stage."""

    name: str
    job: records.Job  # as it ended
    artifacts: dict[str, Any]  # path to content, as `artifact_contents` gives them

    @property
    def status(self) -> str:
        """completed, failed or cancelled."""
        return self.job.status


@dataclass(frozen=True, slots=True)
class PipelineResult:
    """What came of the stages that ran: all of them, or all up to the first that failed."""

    stages: tuple[StageResult, ...]

    @property
    def status(self) -> str:
        """`completed` when every stage did, else `failed`."""
        good = all(stage.status == "completed" for stage in self.stages)
        return "completed" if good else "failed"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        rows = [
            {"stage": s.name, "job_id": s.job.id, "status": s.status, "artifacts": s.artifacts}
            for s in self.stages
        ]
        return {"pipeline_status": self.status, "stages": rows}


def pipeline(
    stages: Sequence[Mapping[str, Any]],
    *,
    stage_timeout: float | None = None,
    idempotency_key: str | None = None,
    on_stage: Callable[[StageResult], None] | None = None,
) -> steps.Steps[PipelineResult]:
    """Run stages `{"name": …, "spec": {…}}` after each other in one sandbox.

    Each continues the one before; the first that does not complete is the last. With an
    `idempotency_key`, the same call finds the jobs of a former one again within a day and goes on
    there, whatever became of the program that made it. Raises WaitTimeout after `stage_timeout`
    seconds of a stage, whose job goes on.
    """
    done: list[StageResult] = []
    _check(stages)
    for n, stage in enumerate(stages, 1):
        key = f"{idempotency_key}/{n}" if idempotency_key else None
        name = str(stage.get("name") or f"stage {n}")
        if done:
            call = jobs.continue_job(done[-1].job.id, stage["spec"], stage.get("name"), key)
        else:
            call = jobs.create_job(stage["spec"], stage.get("name"), key)
        submitted = yield from steps.endure(call)
        job = yield from waiting.wait(submitted.job_id, stage_timeout)
        found = yield from steps.endure(output.artifact_contents(job.id))
        done.append(StageResult(name, job, found))
        if on_stage is not None:
            on_stage(done[-1])
        if job.status != "completed":
            break
    return PipelineResult(tuple(done))


def _check(stages: Sequence[Mapping[str, Any]]) -> None:
    """Before the first is sent: the last one's mistake would come too late."""
    for n, stage in enumerate(stages, 1):
        if not isinstance(stage.get("spec"), Mapping):
            raise knify_errors.BadRequest(
                f"stage {n} has no spec: write {{'name': …, 'spec': {{…}}}}",
                detail={"field": f"stages.{n}.spec"},
            )

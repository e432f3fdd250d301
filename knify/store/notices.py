"""What others than their owners have to tell about executions: into their histories, each once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from knify.store import executionkeys
from knify.store.redis import Client, Scripts


@dataclass(frozen=True, slots=True)
class Notice:
    """One event for an execution's history."""

    mark: str  # unique within the execution: sent twice, by whichever gateway, it is told once
    stage: str  # egress_refused, model_refused, model_error, budget_exceeded, shell_entered
    level: str
    detail: str


class Notices:
    """The way of gateways and shells into histories; it moves no state, and needs no lease."""

    def __init__(self, client: Client, scripts: Scripts) -> None:
        self._client = client
        self._scripts = scripts

    def tell(self, execution_id: str, notices: Iterable[Notice]) -> bool:
        """Write down those that are not there yet; False when it has ended, or is gone."""
        words = [word for n in notices for word in (n.mark, n.stage, n.level, n.detail)]
        return bool(self._scripts.call("tell", execution_id, *words) == "ok")

    def over(self, execution_id: str) -> str | None:
        """Why its budget is used up, in words for people; None while nobody said so."""
        found = self._client.hget(executionkeys.told(execution_id), "over")
        return None if found is None else str(found)

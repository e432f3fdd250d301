"""Faults of the gateway while an agent asks its models through it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.chaos.faults import RESTART, Fault, World
from tests.chaos.history import Violation
from tests.parts import agent_work, model_server, standin
from tests.parts.stack import eventually

_KEY = "sk-of-chaos-0123456789"
_FROZEN = 1.5  # seconds
_HURTS = 20  # of the gateway while one such job runs: whoever hurts the rest does not spare it


@dataclass(frozen=True, slots=True)
class Agents:
    """What agents need: an image with one, and a model."""

    image: str
    models: model_server.Models

    @property
    def settings(self) -> dict[str, str]:
        """For the stack."""
        return {"KNIFY_OPENAI_BASE_URL": f"{self.models.url}/v1", "OPENAI_API_KEY": _KEY}


class GatewayUnderAgent(Fault):
    """Killed, or stopped for a while, at some moment of the agent's work."""

    def __init__(self, how: str) -> None:
        self.name = f"gateway {how} while an agent asks its model"
        self._how = how

    def inject(self, world: World) -> None:
        agents, user = world.agents, world.load.user()
        assert agents is not None
        key = f"agent {world.rng.getrandbits(64):016x}"
        spec = agent_work.spec(agents.image, key, steps=5)
        job = user.submit("agent", "", marked=False, **spec)
        if job is None:
            return
        moment = world.rng.randint(1, 4)
        with contextlib.suppress(AssertionError):  # it may not come that far under other faults
            eventually(lambda: agent_work.asked(agents.models, key) >= moment, seconds=RESTART)
        self._hurt(world)
        user.finish(job)
        x = user.look(lambda: user.store.executions.find(job))
        if x is not None and not x.packed:
            details = [event.detail for event in user.store.streams.events(job)]
            for text in agent_work.wrong(x, agents.models, key, details, hurts=_HURTS):
                world.load.violations.append(Violation("usage", job, text))
        user.clean(job)

    def _hurt(self, world: World) -> None:
        if self._how == "killed":
            world.kill("gateway")
            return
        with world.frozen("gateway"):
            time.sleep(_FROZEN)


@contextlib.contextmanager
def agents(faults: Sequence[Fault]) -> Iterator[Agents | None]:
    """None where no fault needs any."""
    if not any(isinstance(fault, GatewayUnderAgent) for fault in faults):
        yield None
        return
    with standin.image() as image, model_server.running(keys={_KEY}) as models:
        yield Agents(image, models)


AGENT_FAULTS: tuple[Fault, ...] = (GatewayUnderAgent("killed"), GatewayUnderAgent("frozen"))

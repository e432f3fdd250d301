"""What one execution may reach through the gateway, as a value that travels as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from knify import egress, errors, model, spec

_WEB: Final = (80, 443)  # what an allowed host without a port means
_MAIL: Final = (25, 465, 587)  # nobody sends mail from here, even with `full`


@dataclass(frozen=True, slots=True)
class Policy(model.Record):
    """See `hosts.read` for modes and hosts."""

    network_mode: str = "isolated"  # isolated | outbound | full
    allowed_hosts: tuple[str, ...] = ()  # NAME or *.NAME, perhaps with :PORT; normalised
    providers: tuple[str, ...] = ()  # whose model routes it may use
    models: tuple[str, ...] = ()  # patterns of models that it may ask; none: any
    services: tuple[str, ...] = ()  # that there are for it besides: `models.BROWSER` and such
    max_tokens: int | None = None  # of all its model calls together
    max_cost_usd: float | None = None
    is_ours: bool = False  # for a step of ours: what users say of the job's network is not for it

    @property
    def is_needed(self) -> bool:
        """Whether there is anything that it may reach."""
        return self.network_mode != "isolated" or bool(self.providers or self.services)

    @property
    def lets_out(self) -> bool:
        """Whether it may reach more than models."""
        return self.network_mode != "isolated"

    @property
    def has_budget(self) -> bool:
        """Whether its calls of models have a limit."""
        return (self.max_tokens, self.max_cost_usd) != (None, None)

    @classmethod
    def of(cls, wanted: model.ExecutionSpec, models: tuple[str, ...] = ()) -> Self:
        """What a spec asks for; `models` are the operator's."""
        provider = spec.provider(wanted.actor)
        return cls(
            network_mode=wanted.network_mode,
            allowed_hosts=wanted.allowed_hosts,
            providers=(provider,) if provider else (),
            models=models,
            services=spec.services(wanted.job_type),
            max_tokens=wanted.max_tokens,
            max_cost_usd=wanted.max_cost_usd,
        )

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Self:
        """The inverse of `as_json`; TypeError for what is none."""
        return cls(**cls._known(fields))

    @classmethod
    def _known(cls, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Another version's may have more of them."""
        return {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in fields.items()
            if name in cls.__slots__
        }

    def changed(self, network: Mapping[str, Any]) -> Self:
        """With what a user said of the network meanwhile."""
        return self if self.is_ours or not network else self.evolve(**self._known(network))

    def as_json(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    def names(self, target: egress.Target) -> bool:
        """Whether `allowed_hosts` names the target."""
        return any(_is_named(entry, target) for entry in self.allowed_hosts)

    def check(self, target: egress.Target) -> None:
        """EgressRefused unless it may connect there, as far as the name alone tells."""
        if self.names(target):
            return
        if self.network_mode == "isolated":
            raise errors.EgressRefused("network_mode is isolated")
        if self.network_mode == "outbound":
            raise errors.EgressRefused("allowed_hosts does not name it")
        if target.port in _MAIL:
            raise errors.EgressRefused(f"port {target.port} is closed for all")


def _is_named(entry: str, target: egress.Target) -> bool:
    name, _, port = entry.partition(":")
    if target.port not in ((int(port),) if port else _WEB):
        return False
    return target.host.endswith(name[1:]) if name.startswith("*.") else target.host == name

"""A turn's way out of its sandbox: opened before its command is sent, closed at its end."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import redis

from knify import errors, model
from knify.agents import models
from knify.core import Core
from knify.gateway import account, client, told
from knify.gateway.policy import Policy
from knify.sandbox import base as sandbox_base
from knify.turn import Hands, Turn
from knify.verdict import BUDGET

log = logging.getLogger(__name__)

_BRIEFLY: Final = 2.0  # seconds, where the gateway is of no more use
_CA_FILE: Final = "egress-ca.pem"
_CA_PATH: Final = f"{sandbox_base.RUN}/{_CA_FILE}"
_CA_VARIABLES: Final = (
    *("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT"),
    "NODE_EXTRA_CA_CERTS",
)
#: Clients differ in which they read, and curl reads this one in lower case only.
_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
_DIRECT: Final = "127.0.0.1,localhost"


class Exits:
    """What steps ask of the gateway."""

    def __init__(self, core: Core, hands: Hands) -> None:
        self._core = core
        self._hands = hands
        self._gateway = client.Client(core.settings.gateway)

    def open(self, turn: Turn) -> dict[str, str]:
        """Let the turn out; the variables by which its command finds the way.

        GatewayAway, another SandboxError; then nothing of the job may be started.
        """
        policy = self._policy(turn)
        if not policy.is_needed:
            return {}
        return self._way(turn, policy)

    def lend(self, turn: Turn, host: str) -> dict[str, str]:
        """As `open`, to this host alone and for a step of ours, whatever the job itself may reach.

        `host`: NAME:PORT. It ends with `shut`, or with the container's life.
        """
        return self._way(turn, Policy("outbound", (host,), is_ours=True))

    def shut(self, turn: Turn) -> None:
        """End what was lent. GatewayAway; then nothing of the job may be started."""
        self._take(turn, self._gateway.close(turn.x.id, client.OPEN_SECONDS))

    def forget(self, turn: Turn) -> None:
        """The same where the sandbox is stopped in any case."""
        try:
            self._take(turn, self._gateway.close(turn.x.id, _BRIEFLY))
        except (errors.KnifyError, redis.RedisError) as failed:
            log.warning("%s: what its gateway had to tell is not known: %s", turn.x.id, failed)

    def _way(self, turn: Turn, policy: Policy) -> dict[str, str]:
        logins = self._open(turn, policy, client.OPEN_SECONDS)
        if not policy.lets_out:
            return {}
        way = dict.fromkeys(_PROXIES, models.GATEWAY)
        way |= {"NO_PROXY": _DIRECT, "no_proxy": _DIRECT}
        return way | self._authorities(turn) | git_rewrites(logins)

    def rejoin(self, turn: Turn) -> None:
        """Its command runs; the gateway knows it, as a rule."""
        policy = self._policy(turn)
        if not policy.is_needed:
            return
        try:
            self._open(turn, policy, _BRIEFLY)
        except errors.SandboxError as failed:
            log.warning("%s goes on, perhaps without its gateway: %s", turn.x.id, failed)

    def settle(self, turn: Turn, outcome: model.Outcome) -> model.Outcome:
        """Let nothing out any more, publish what only the gateway knows; how the turn ended.

        What it took of models is known here, and one that took too much has failed.
        """
        policy = self._policy(turn)
        if not policy.is_needed:
            return outcome
        stages = self._close(turn)
        if not policy.providers:
            return outcome
        used = self._core.store.usages.of(turn.x.id)
        if used.calls:
            outcome = outcome.evolve(usage=used.shown(), cost_usd=used.cost_usd)
        problem = account.over(policy, used)
        if problem is None and BUDGET in stages:
            problem = account.over(policy, used, least=0)
        if problem is None or outcome.kind in (BUDGET, "cancelled"):
            return outcome
        return outcome.evolve(kind=BUDGET, error=f"{BUDGET}: {problem}")

    def _close(self, turn: Turn) -> set[str]:
        """The stages of what was told last."""
        try:
            left = self._gateway.close(turn.x.id, _BRIEFLY)
        except errors.SandboxError as failed:
            log.warning("%s: what its gateway had to tell is not known: %s", turn.x.id, failed)
            return set()
        self._take(turn, left)
        return {event.stage for event in left}

    def _take(self, turn: Turn, left: list[told.Event]) -> None:
        """Publish what nobody has heard."""
        for event in left:
            if event.n not in turn.told:
                turn.x = self._publish(turn.x, event)
                turn.told.add(event.n)
            self._ack(turn.x, event)

    def _policy(self, turn: Turn) -> Policy:
        return Policy.of(turn.x.spec, self._core.settings.allowed_models)

    def _open(self, turn: Turn, policy: Policy, seconds: float) -> list[str]:
        status = self._hands.call(self._hands.driver.inspect(turn.container))
        if status is None or status.pid is None:
            raise errors.SandboxGone("the sandbox does not run")
        return self._gateway.open(
            execution=turn.x.id,
            sandbox=turn.x.sandbox_id or "",
            tenant=turn.x.tenant,
            pid=status.pid,
            policy=policy,
            seconds=seconds,
        )

    def _authorities(self, turn: Turn) -> dict[str, str]:
        """The operator's certificate authority beside the public ones."""
        if self._core.settings.egress_ca is None or turn.channel is None:
            return {}
        bundle = authorities(self._core)
        self._hands.call(turn.channel.put_file(_CA_PATH, bundle, 0o644))
        return dict.fromkeys(_CA_VARIABLES, _CA_PATH)

    def _publish(self, x: model.Execution, event: told.Event) -> model.Execution:
        return self._core.store.executions.note(x, event.stage, event.detail, level=event.level)

    def _ack(self, x: model.Execution, event: told.Event) -> None:
        try:
            self._gateway.ack(x.id, event.n)
        except errors.SandboxError as failed:
            log.debug("%s: %s", x.id, failed)


def git_rewrites(hosts: list[str]) -> dict[str, str]:
    """Variables by which git asks the gateway for these hosts, where their logins are put in."""
    if not hosts:
        return {}
    found = {"GIT_CONFIG_COUNT": str(len(hosts))}
    for n, host in enumerate(hosts):
        found[f"GIT_CONFIG_KEY_{n}"] = f"url.{models.GATEWAY}{models.GIT}{host}/.insteadOf"
        found[f"GIT_CONFIG_VALUE_{n}"] = f"https://{host}/"
    return found


def authorities(core: Core) -> bytes:
    """The host's public authorities and the operator's own, as one bundle."""
    import ssl  # late: few installations have such a file

    assert core.settings.egress_ca is not None
    public = ssl.get_default_verify_paths().cafile
    try:
        own = core.settings.egress_ca.read_bytes()
        known = Path(public).read_bytes() if public else b""
    except OSError as failed:
        raise errors.ConfigError(f"KNIFY_EGRESS_CA cannot be read: {failed.strerror}") from failed
    return known + b"\n" + own

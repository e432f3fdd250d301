"""A turn's way out of its sandbox: opened before its command is sent, closed at its end."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from knify import errors, kinds, model
from knify.agents import models
from knify.core import Core
from knify.gateway import account, client
from knify.gateway.policy import Policy
from knify.lifecycle import State
from knify.sandbox import base as sandbox_base
from knify.store.usage import Usage
from knify.turn import Hands, Turn
from knify.verdict import BUDGET

log = logging.getLogger(__name__)

_OPEN: Final = (State.READY, State.RUNNING, State.COMPLETING)  # states with a door, perhaps
_BRIEFLY: Final = 3.0  # seconds, where the gateway is of no more use
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
        self._gateway.close(turn.x.id, turn.x.sandbox_id or "", client.OPEN_SECONDS)

    def forget(self, turn: Turn) -> None:
        """The same where the sandbox is stopped in any case."""
        try:
            self._gateway.close(turn.x.id, turn.x.sandbox_id or "", _BRIEFLY)
        except errors.SandboxError as failed:
            log.warning("%s: its gateway does not close: %s", turn.x.id, failed)

    def _way(self, turn: Turn, policy: Policy) -> dict[str, str]:
        opened = self._open(turn, policy, client.OPEN_SECONDS)
        way = {kinds.BROWSER_URL: models.CDP_URL} if kinds.BROWSER in opened.services else {}
        if not policy.lets_out:
            return way
        way |= dict.fromkeys(_PROXIES, models.GATEWAY)
        way |= {"NO_PROXY": _DIRECT, "no_proxy": _DIRECT}
        return way | self._authorities(turn) | git_rewrites(opened.git)

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
        """Let nothing out any more; how the turn ended, in view of what its models took.

        One that took too much has failed.
        """
        used = self.used(turn)
        if used is None:
            return outcome
        if used.calls:
            outcome = outcome.evolve(usage=used.shown(), cost_usd=used.cost_usd)
        policy = self._policy(turn)
        problem = account.over(policy, used)
        if problem is None and self._core.store.notices.over(turn.x.id) is not None:
            problem = account.over(policy, used, least=0)
        if problem is None or outcome.kind in (BUDGET, "cancelled"):
            return outcome
        return outcome.evolve(kind=BUDGET, error=f"{BUDGET}: {problem}")

    def is_shut(self, turn: Turn) -> bool:
        """Whether nothing of it is let out any more, for sure."""
        return turn.is_shut or not self._policy(turn).is_needed

    def used(self, turn: Turn) -> Usage | None:
        """What it took of models so far; None for one that asks none. Its door is closed."""
        self._close(turn)
        return self._core.store.usages.of(turn.x.id) if self._policy(turn).providers else None

    def _close(self, turn: Turn) -> None:
        """Once a gateway has said so, it is; until then it is asked each time."""
        if self.is_shut(turn) or turn.x.state not in _OPEN:
            return
        try:
            turn.is_shut = self._gateway.close(turn.x.id, turn.x.sandbox_id or "", _BRIEFLY)
        except errors.SandboxError as failed:
            log.warning("%s: its gateway does not close: %s", turn.x.id, failed)

    def _policy(self, turn: Turn) -> Policy:
        return Policy.of(turn.x.spec, self._core.settings.allowed_models)

    def _open(self, turn: Turn, policy: Policy, seconds: float) -> client.Opened:
        turn.is_shut = False
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


def git_rewrites(hosts: Sequence[str]) -> dict[str, str]:
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

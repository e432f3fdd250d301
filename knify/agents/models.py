"""Where an agent finds its models: at the gateway, inside its own sandbox, without a key.

The gateway listens on loopback in the sandbox's own network namespace, knows the sandbox by that,
and puts the operator's key into what it passes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PORT: Final = 8119  # in each sandbox's own namespace
GATEWAY: Final = f"http://127.0.0.1:{PORT}"
GIT: Final = "/git/"  # behind it: a host with a login of the operator's, and what git asks there
CDP: Final = "/cdp"  # behind it: the operator's browser
CDP_URL: Final = f"{GATEWAY}{CDP}"
DATABASES_PORT: Final = 8120  # beside PORT: the operator's databases, each by its name
#: What stands where an agent's program insists on a key. It opens nothing anywhere.
NO_KEY: Final = "knify-gateway"


@dataclass(frozen=True, slots=True)
class Provider:
    """One vendor's API as agents know it."""

    key: str  # the variable of its key: the operator's at the gateway, NO_KEY in a sandbox
    url: str  # the variable that says where the API is
    path: str  # at the gateway

    @property
    def base_url(self) -> str:
        """What an agent is to be given as the API's address."""
        return f"{GATEWAY}{self.path}"


PROVIDERS: Final = {
    "anthropic": Provider("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "/anthropic"),
    "google": Provider("GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL", "/google"),
    "openai": Provider("OPENAI_API_KEY", "OPENAI_BASE_URL", "/openai/v1"),
}


def env(provider: str) -> dict[str, str]:
    """The variables with which an agent of this provider finds the gateway."""
    found = PROVIDERS[provider]
    return {found.url: found.base_url, found.key: NO_KEY}

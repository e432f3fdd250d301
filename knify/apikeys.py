"""API keys: what is known of them, and how often they may ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from knify.model import Record

#: Requests an hour of each tier, lowest first; enterprise keys have a limit of their own, or none.
TIERS: Final[dict[str, int | None]] = {"free": 100, "pro": 1_000, "enterprise": None}


@dataclass(frozen=True, slots=True)
class ApiKey(Record):
    """A key's record; the secret itself is shown once and never stored."""

    id: str
    tenant: str
    digest: str  # keyed hash of the secret
    scopes: tuple[str, ...]  # of read, write, admin
    tier: str  # free | pro | enterprise
    created_at: int
    name: str | None = None
    mode: str = "live"  # live | test: a word in its text, for people and their scanners
    # The counts of requests that it adds to: (whose, at most how many an hour); none: no limit.
    # A key that a limited one made counts there too, so making keys widens nothing.
    windows: tuple[tuple[str, int], ...] = ()
    expires_at: int | None = None  # by the API's own clock
    rotated_at: int | None = None
    old_digest: str | None = None  # of the secret before the last rotation,
    old_until: int | None = None  # which opens until then
    last_used_at: int | None = None  # to the minute
    revoked_at: int | None = None

    @property
    def limit(self) -> int | None:
        """Requests an hour; None: as many as it likes."""
        return min((limit for _, limit in self.windows), default=None)

"""What every use case needs, in one value."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from knify import catalog
from knify import hints as hints_module
from knify import profiles as profiles_module
from knify import settings as settings_module
from knify.objects import base, locate, master, sealed
from knify.store import open as store_open


@dataclass(frozen=True, slots=True)
class Core:
    """The settings, the store, the objects, and a way to wake workers."""

    settings: settings_module.Settings
    store: store_open.Store
    objects: base.ObjectStore
    sealed: sealed.Sealed  # the same store, encrypted: for archives of workspaces and sandboxes
    hints: hints_module.Hints
    pepper: bytes  # keys the hashes of API keys, and the secrets of starts
    models: catalog.Catalog = catalog.DOCUMENTED  # which models each agent serves
    # What a profile's name stands for.
    profiles: profiles_module.Profiles = field(default_factory=lambda: profiles_module.OURS)

    def start_nonce(self, execution_id: str) -> str:
        """The secret of an execution's start, as `ids.nonce`: 128 bits in hex.

        It follows from the id, so that it is known even when Redis forgot the start.
        """
        return hmac.new(self.pepper, f"start {execution_id}".encode(), hashlib.sha256).hexdigest()[
            :32
        ]


def connect(settings: settings_module.Settings, hints: hints_module.Hints | None = None) -> Core:
    """Everything that the settings name. The master key is made when missing; nothing is sent."""
    identities = master.load_or_make(settings.master_key_file)
    objects = locate.connect(settings)
    oldest = str(identities[-1]).encode()  # rotation puts new keys on top: hashes stay valid
    return Core(
        settings=settings,
        store=store_open.from_settings(settings),
        objects=objects,
        sealed=sealed.Sealed(objects, identities, locate.spool(settings)),
        models=catalog.load(settings.models_file),
        profiles=profiles_module.load(settings.profiles_file),
        hints=hints or hints_module.CeleryHints(settings.redis),
        pepper=hmac.new(oldest, b"knify api keys", hashlib.sha256).digest(),
    )

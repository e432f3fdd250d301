"""What every use case needs, in one value."""

from __future__ import annotations

from dataclasses import dataclass

from knify import hints, settings
from knify.objects import base
from knify.store import open as store_open


@dataclass(frozen=True, slots=True)
class Core:
    """The settings, the store, the objects, and a way to wake workers."""

    settings: settings.Settings
    store: store_open.Store
    objects: base.ObjectStore
    hints: hints.Hints

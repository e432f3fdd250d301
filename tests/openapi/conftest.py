from __future__ import annotations

from tests.api.conftest import api, app, config, core, worker

__all__ = ["api", "app", "config", "core", "worker"]

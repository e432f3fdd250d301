"""The API, its core and a worker that only writes, as in `tests/api`."""

from tests.api.conftest import api, app, config, core, stranger, worker

__all__ = ["api", "app", "config", "core", "stranger", "worker"]

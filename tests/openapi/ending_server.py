"""`python -m tests.openapi.ending_server`: the real API server, whose jobs end at once.

The worker that it is given runs each job to its end within the request that hinted at it, so
every stream ends and no request depends on what another process does in the meantime.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

from typing import Any  # noqa: E402

from api import app, serving  # noqa: E402
from knify import core as core_module  # noqa: E402
from knify import install, settings  # noqa: E402
from tests.api.parts import Worker  # noqa: E402


class EndingHints:
    """A worker in the API's own process."""

    def __init__(self) -> None:
        self.worker: Worker | None = None

    def advance(self, execution_id: str, node: str = "") -> None:
        """Run it now, with a line of output and a file."""
        assert self.worker is not None
        x = self.worker.core.store.executions.find(execution_id)
        if x is None or x.completed_at is not None:
            return
        x = self.worker.lines(self.worker.run(execution_id), "hello")
        self.worker.keep(execution_id, {"hello.txt": b"hello", "a/b.json": b"{}"})
        self.worker.finish(x)

    def remove(self, sandbox_id: str, node: str) -> None:
        """There is none."""


class Server(serving.Server):
    """As the real one, but for that worker."""

    def load(self) -> Any:
        """The WSGI application."""
        hints = EndingHints()
        core = core_module.connect(self._config, hints)
        hints.worker = Worker(core)
        return app.create_app(core)


if __name__ == "__main__":
    config = settings.load()
    install.install(config)
    Server(config, no_auth=False).run()

"""gunicorn around the application, without files of its own."""

from __future__ import annotations

import ipaddress
import logging
import resource
from typing import Any, Final

from gunicorn import glogging
from gunicorn.app.base import BaseApplication

from api import app, pace, proxies, shares
from knify import core as core_module
from knify import errors, install, logs, settings, tracing
from knify.store import ready

log = logging.getLogger(__name__)

CONNECTIONS: Final = shares.CONNECTIONS
SPARE_FILES: Final = 300  # for Redis, uploads, downloads

#: One process: streams of one process share one subscription. More cores: more API processes.
OPTIONS: Final[dict[str, Any]] = {
    "worker_class": "api.worker.Worker",  # which has the deadlines of heads and idle connections
    "workers": 1,
    "graceful_timeout": 5,
    "control_socket_disable": True,
    "limit_request_line": 8_190,
    "limit_request_fields": 64,
    "forwarded_allow_ips": "",  # gunicorn would believe loopback: see proxies.py
    "logger_class": "api.serving.Log",
    "worker_exit": lambda _server, _worker: tracing.flush(),
}


class Log(glogging.Logger):
    """gunicorn's own lines among all others of this process, in their form."""

    def setup(self, cfg: Any) -> None:
        """See gunicorn."""
        self.error_log.propagate = True
        self.error_log.setLevel(cfg.loglevel.upper())


class Server(BaseApplication):
    """The application is made in the worker process: connections do not survive a fork."""

    def __init__(self, config: settings.Settings, *, no_auth: bool) -> None:
        self._config = config
        self._no_auth = no_auth
        super().__init__()

    def load_config(self) -> None:
        """See gunicorn."""
        bind = f"[{self._config.host}]" if ":" in self._config.host else self._config.host
        options = OPTIONS | {"bind": [f"{bind}:{port}" for port in self._config.ports]}
        options["worker_connections"] = connections()
        for name, value in (options | {"loglevel": self._config.log_level}).items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The WSGI application."""
        tracing.begin("api")
        made = app.create_app(core_module.connect(self._config), no_auth=self._no_auth)
        trusted = proxies.Trusted(self._config.trusted_proxies)
        return pace.paced(proxies.behind(trusted, made.wsgi_app))


def run(config: settings.Settings | None = None, *, no_auth: bool = False) -> None:
    """Serve until a signal comes. ConfigError when no keys shall guard a public address.

    Started alone, before anything else was, it waits for Redis and makes the installation.
    """
    config = config or settings.load()
    if no_auth and not is_loopback(config.host):
        raise errors.ConfigError(f"--no-auth serves only on loopback, not on {config.host}")
    logs.configure(config.log_level, "api")
    ready.wait(config, log.warning)
    if install.install(config) is not None:
        log.warning("the first admin key is in %s", install.key_file(config))
    Server(config, no_auth=no_auth).run()


def connections() -> int:
    """How many connections this process may hold: as many as it gets file descriptors for."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + SPARE_FILES
    files = wanted if most == resource.RLIM_INFINITY else min(most, wanted)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    return max(64, files - SPARE_FILES)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

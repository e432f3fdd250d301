"""All settings, read once from the environment (prefix `KNIFY_`) and a `.env` file."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from environs import Env, EnvError
from marshmallow.validate import OneOf, Range

from knify import egress, errors, units

_AGENTS = ("runbook", "cursor", "claude", "gemini", "codex")
_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,62}$")


@dataclass(frozen=True, slots=True)
class Settings:
    """Every field is documented in `docs/settings.md`; a test compares the two."""

    home: Path
    host: str
    port: int
    redis_url: str | None
    object_store: str
    s3_endpoint_url: str | None
    podman_url: str | None
    node: str
    slots: int
    node_cpus: float
    cpu_overcommit: float
    node_memory: int | None
    node_disk: int | None
    disk_reserve: int
    lease_seconds: float
    sweep_seconds: float
    sandbox_days: float
    archive_hours: float
    paused: int
    hot_seconds: float
    hot: int
    node_lost_seconds: float
    orphan_hours: float
    default_tier: str
    master_key_file: Path
    oci_runtime: str | None
    base_image: str
    agents_image: str | None
    e2e_image: str | None
    data_image: str | None
    e2e_agent: str
    models_file: Path | None
    sources_file: Path | None
    profiles_file: Path | None
    images: tuple[str, ...]
    output_bytes: int
    output_tail_bytes: int
    pack_seconds: float
    job_days: float
    artifact_days: float
    workspace_versions: int
    artifact_bytes: int
    collect_seconds: float
    max_body_bytes: int
    workspace_bytes: int
    webhook_allow_private: bool
    anthropic_base_url: str
    gemini_base_url: str
    openai_base_url: str
    prices_file: Path | None
    allowed_models: tuple[str, ...]
    git_credentials_file: Path | None
    git_push: bool
    egress_hosts: dict[str, tuple[str, int]]
    egress_ca: Path | None
    workspace_cache_bytes: int
    transfers: int
    tenant_transfers: int
    transfer_rate: int
    log_level: str
    flower_user: str
    flower_password: str = field(repr=False)

    @property
    def run_dir(self) -> Path:
        """Sockets and pid files of this installation's processes."""
        return self.home / "run"

    @property
    def redis(self) -> str:
        """The Redis to talk to: the operator's, or the private one on a Unix socket."""
        return self.redis_url or f"unix://{self.run_dir / 'redis.sock'}"

    @property
    def gateway(self) -> Path:
        """The socket on which this node's gateway takes orders."""
        return self.run_dir / "gateway.sock"

    @property
    def podman(self) -> str:
        """The Podman API to talk to: the operator's, or our own service's socket."""
        return self.podman_url or f"unix://{self.run_dir / 'podman.sock'}"


def load(environ: dict[str, str] | None = None) -> Settings:
    """Read and check all settings; ConfigError names the first wrong one.

    `environ` replaces the process's environment in tests. Nothing is written anywhere.
    """
    env = Env(prefix="KNIFY_")
    saved = dict(os.environ)
    try:
        if environ is not None:
            os.environ.clear()
            os.environ.update(environ)
        elif Path(".env").is_file():
            env.read_env(".env", recurse=False)
        return _read(env)
    except EnvError as failed:
        raise errors.ConfigError(str(failed)) from failed
    finally:
        if environ is not None:
            os.environ.clear()
            os.environ.update(saved)


def _read(env: Env) -> Settings:
    home = Path(env.str("HOME", "~/.knify")).expanduser().absolute()
    cores = os.cpu_count() or 1
    return Settings(
        home=home,
        host=env.str("HOST", "127.0.0.1"),
        port=env.int("PORT", 8122, validate=Range(0, 65_535)),
        redis_url=env.str("REDIS_URL", "") or None,
        object_store=env.str("OBJECT_STORE", "") or f"file://{home / 'objects'}",
        s3_endpoint_url=env.str("S3_ENDPOINT_URL", "") or None,
        podman_url=env.str("PODMAN_URL", "") or None,
        node=env.str("NODE", "") or _node_name(),
        slots=env.int("SLOTS", 2 * cores, validate=Range(1, 10_000)),
        node_cpus=env.float("NODE_CPUS", float(cores), validate=Range(0.01, 100_000)),
        cpu_overcommit=env.float("CPU_OVERCOMMIT", 4.0, validate=Range(0.01, 1_000)),
        node_memory=_size(env.str("NODE_MEMORY", ""), "NODE_MEMORY"),
        node_disk=_size(env.str("NODE_DISK", ""), "NODE_DISK"),
        disk_reserve=_size(env.str("DISK_RESERVE", "2G"), "DISK_RESERVE") or 0,
        lease_seconds=env.float("LEASE_SECONDS", 15.0, validate=Range(1, 3_600)),
        sweep_seconds=env.float("SWEEP_SECONDS", 5.0, validate=Range(0.2, 3_600)),
        sandbox_days=env.float("SANDBOX_DAYS", 30.0, validate=Range(0.0001, 3_650)),
        archive_hours=env.float("ARCHIVE_HOURS", 24.0, validate=Range(0, 87_600)),
        paused=env.int("PAUSED", 400, validate=Range(0, 100_000)),
        hot_seconds=env.float("HOT_SECONDS", 0.0, validate=Range(0, 86_400)),
        hot=env.int("HOT", 2 * cores, validate=Range(0, 10_000)),
        node_lost_seconds=env.float("NODE_LOST_SECONDS", 300.0, validate=Range(1, 86_400)),
        orphan_hours=env.float("ORPHAN_HOURS", 24.0, validate=Range(0, 8_760)),
        default_tier=env.str(
            "DEFAULT_TIER", "enterprise", validate=OneOf(["free", "pro", "enterprise"])
        ),
        master_key_file=Path(env.str("MASTER_KEY_FILE", "") or home / "master.key"),
        oci_runtime=env.str("OCI_RUNTIME", "") or None,
        base_image=env.str("BASE_IMAGE", "localhost/knify/base:latest"),
        agents_image=env.str("AGENTS_IMAGE", "") or None,
        e2e_image=env.str("E2E_IMAGE", "") or None,
        data_image=env.str("DATA_IMAGE", "") or None,
        e2e_agent=env.str("E2E_AGENT", "runbook", validate=OneOf(_AGENTS)),
        models_file=_path(env.str("MODELS_FILE", "")),
        sources_file=_path(env.str("SOURCES_FILE", "")),
        profiles_file=_path(env.str("PROFILES_FILE", "")),
        images=tuple(env.list("IMAGES", ["localhost/*"])),
        output_bytes=env.int("OUTPUT_BYTES", 1024**3, validate=Range(1_024, 2**40)),
        output_tail_bytes=env.int("OUTPUT_TAIL_BYTES", 4 * 1024**2, validate=Range(1_024, 2**30)),
        pack_seconds=env.float("PACK_SECONDS", 300.0, validate=Range(0, 86_400)),
        job_days=env.float("JOB_DAYS", 90.0, validate=Range(0.0001, 3_650)),
        artifact_days=env.float("ARTIFACT_DAYS", 30.0, validate=Range(0.0001, 3_650)),
        workspace_versions=env.int("WORKSPACE_VERSIONS", 10, validate=Range(1, 10_000)),
        artifact_bytes=_bytes(env.str("ARTIFACT_BYTES", "2G"), "ARTIFACT_BYTES"),
        collect_seconds=env.float("COLLECT_SECONDS", 300.0, validate=Range(0, 86_400)),
        max_body_bytes=env.int("MAX_BODY_BYTES", 1024**2, validate=Range(1_024, 2**30)),
        workspace_bytes=env.int("WORKSPACE_BYTES", 2 * 1024**3, validate=Range(1_024, 2**50)),
        webhook_allow_private=bool(
            env.int("WEBHOOK_ALLOW_PRIVATE", 0, validate=OneOf([0, 1])),
        ),
        anthropic_base_url=_url(
            env.str("ANTHROPIC_BASE_URL", "https://api.anthropic.com"), "ANTHROPIC_BASE_URL"
        ),
        gemini_base_url=_url(
            env.str("GEMINI_BASE_URL", "https://generativelanguage.googleapis.com"),
            "GEMINI_BASE_URL",
        ),
        openai_base_url=_url(
            env.str("OPENAI_BASE_URL", "https://api.openai.com/v1"), "OPENAI_BASE_URL"
        ),
        prices_file=_path(env.str("PRICES_FILE", "")),
        allowed_models=tuple(env.list("ALLOWED_MODELS", ["*"])),
        git_credentials_file=_path(env.str("GIT_CREDENTIALS_FILE", "")),
        git_push=bool(env.int("GIT_PUSH", 0, validate=OneOf([0, 1]))),
        egress_hosts=_hosts(env.str("EGRESS_HOSTS", "")),
        egress_ca=_path(env.str("EGRESS_CA", "")),
        workspace_cache_bytes=_size(
            env.str("WORKSPACE_CACHE_BYTES", "10G"), "WORKSPACE_CACHE_BYTES"
        )
        or 0,
        transfers=env.int("TRANSFERS", 16, validate=Range(1, 10_000)),
        tenant_transfers=env.int("TENANT_TRANSFERS", 4, validate=Range(1, 10_000)),
        transfer_rate=env.int("TRANSFER_RATE", 64 * 1024, validate=Range(1, 2**40)),
        log_level=env.str(
            "LOG_LEVEL", "info", validate=OneOf(["debug", "info", "warning", "error"])
        ),
        flower_user=env.str("FLOWER_USER", "knify"),
        flower_password=env.str("FLOWER_PASSWORD", ""),
    )


def _size(text: str, name: str) -> int | None:
    """Bytes; None for an empty text."""
    try:
        return units.parse_size(text) if text else None
    except ValueError as wrong:
        raise errors.ConfigError(f"KNIFY_{name}: {wrong}") from wrong


def _bytes(text: str, name: str) -> int:
    """What has to be at least 1 KiB and at most 1024 TiB."""
    size = _size(text, name) or 0
    if not 1_024 <= size <= 2**50:
        raise errors.ConfigError(f"KNIFY_{name}: must be between 1K and 1024T")
    return size


def _hosts(text: str) -> dict[str, tuple[str, int]]:
    """`name=address:port` each, with commas between."""
    found = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, where = entry.partition("=")
        address, _, port = where.rpartition(":")
        try:
            found[egress.name(name)] = (str(ip_address(address.strip("[]"))), _port(port))
        except (errors.EgressRefused, ValueError) as wrong:
            why = f"{entry!r} is not NAME=ADDRESS:PORT such as git.example.com=10.0.0.5:443"
            raise errors.ConfigError(f"KNIFY_EGRESS_HOSTS: {why}") from wrong
    return found


def _url(text: str, name: str) -> str:
    """Where an API is; any address, since the operator says it."""
    try:
        return egress.parse(text).url.rstrip("/")
    except errors.EgressRefused as wrong:
        raise errors.ConfigError(f"KNIFY_{name}: {wrong.message}") from wrong


def _port(text: str) -> int:
    if not 0 < int(text) < 65_536:
        raise ValueError(f"no port: {text}")
    return int(text)


def _path(text: str) -> Path | None:
    return Path(text).expanduser().absolute() if text else None


def _node_name() -> str:
    name = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower()).strip("-")[:63]
    return name if _NAME.match(name) else "node"

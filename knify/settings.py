"""All settings, read once from the environment (prefix `KNIFY_`) and `$KNIFY_HOME/.env`."""

from __future__ import annotations

import os
from collections import ChainMap
from dataclasses import dataclass, field
from pathlib import Path

from environs import Env, EnvError

from knify import errors, homefile, secretfiles, variables
from knify import settinggroups as groups


@dataclass(frozen=True, slots=True)
class Settings:
    """Every field is documented in `docs/settings.md`; a test compares the two."""

    home: Path
    host: str
    port: int
    ws_port: int
    trusted_proxies: tuple[variables.Network | str, ...]
    redis_url: str | None
    redis_replicas: int
    object_store: str
    s3_endpoint_url: str | None
    s3_region: str | None
    s3_addressing: str
    s3_encryption: str | None
    s3_kms_key: str | None
    s3_ca: Path | None
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
    schedule_seconds: float
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
    exam_agent: str
    models_file: Path | None
    sources_file: Path | None
    databases_file: Path | None
    browser_tenants: tuple[str, ...]
    profiles_file: Path | None
    secret_env: tuple[str, ...]
    secret_dir: Path | None
    vault_addr: str | None
    vault_token_file: Path | None
    vault_mount: str
    vault_prefix: str
    vault_namespace: str | None
    vault_ca: Path | None
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
    vendor_tools: tuple[str, ...]
    git_credentials_file: Path | None
    git_push: bool
    egress_hosts: dict[str, tuple[str, int]]
    egress_ca: Path | None
    workspace_cache_bytes: int
    transfers: int
    tenant_transfers: int
    transfer_rate: int
    log_level: str
    access_log: bool
    metrics_token: str = field(repr=False)
    flower_url: str  # where people find Flower; empty: nowhere
    flower_user: str
    flower_password: str = field(repr=False)

    @property
    def run_dir(self) -> Path:
        """Sockets and pid files of this installation's processes."""
        return self.home / "run"

    @property
    def ports(self) -> tuple[int, ...]:
        """Where the API listens: the main one first."""
        return (self.port, self.ws_port) if self.ws_port not in (0, self.port) else (self.port,)

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

    `environ` replaces the process's environment in tests. Nothing is written anywhere, but what
    `NAME_FILE` names becomes the process's own NAME: not to be seen in `/proc`, as the real one is.
    """
    env = Env(prefix="KNIFY_")
    saved = dict(os.environ)
    try:
        if environ is not None:
            os.environ.clear()
            os.environ.update(environ)
        else:
            homefile.read()
        os.environ.update(secretfiles.read(os.environ))
        return _read(env)
    except EnvError as failed:
        raise errors.ConfigError(str(failed)) from failed
    finally:
        if environ is not None:
            os.environ.clear()
            os.environ.update(saved)


def _read(env: Env) -> Settings:
    home = Path(env.str("HOME", "~/.knify")).expanduser().absolute()
    found = (
        groups.service(env, home),
        groups.node(env),
        groups.sandboxes(env),
        groups.kept(env),
        groups.limits(env),
        groups.secrets(env),
    )
    return Settings(home=home, **dict(ChainMap(*found, groups.agents(env), groups.gateway(env))))

"""The groups of settings: each reads its own of the environment, and checks it."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Any

from environs import Env
from marshmallow import ValidationError
from marshmallow.validate import OneOf, Range

from knify import errors, variables

_AGENTS = ("cursor", "claude", "gemini", "codex")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


def service(env: Env, home: Path) -> dict[str, Any]:
    """Where Knify listens and what it stands on."""
    port = env.int("PORT", 8122, validate=Range(0, 65_535))
    # Beside another port nobody expects it at its usual place, which another one may hold.
    ws_port = 8121 if port == 8122 else 0
    tiers, levels = ["free", "pro", "enterprise"], ["debug", "info", "warning", "error"]
    return {
        "host": env.str("HOST", "127.0.0.1"),
        "port": port,
        "ws_port": env.int("WS_PORT", ws_port, validate=Range(0, 65_535)),
        "trusted_proxies": variables.proxies(env, "TRUSTED_PROXIES"),
        "redis_url": variables.redis_url(env, "REDIS_URL"),
        "redis_replicas": env.int("REDIS_REPLICAS", 0, validate=Range(0, 10)),
        "object_store": env.str("OBJECT_STORE", "") or f"file://{home / 'objects'}",
        **s3(env),
        "podman_url": env.str("PODMAN_URL", "") or None,
        "master_key_file": Path(env.str("MASTER_KEY_FILE", "") or home / "master.key"),
        "default_tier": env.str("DEFAULT_TIER", "enterprise", validate=OneOf(tiers)),
        "webhook_allow_private": variables.switch(env, "WEBHOOK_ALLOW_PRIVATE"),
        "log_level": env.str("LOG_LEVEL", "info", validate=OneOf(levels)),
        "access_log": variables.switch(env, "ACCESS_LOG"),
        "metrics_token": variables.secret(env, "METRICS_TOKEN"),
        "flower_url": env.str("FLOWER_URL", ""),
        "flower_user": env.str("FLOWER_USER", "knify"),
        "flower_password": env.str("FLOWER_PASSWORD", ""),
    }


def s3(env: Env) -> dict[str, Any]:
    """How S3 is spoken to."""
    encryption = env.str("S3_ENCRYPTION", "", validate=OneOf(("", "AES256", "aws:kms")))
    key = env.str("S3_KMS_KEY", "") or None
    if key and encryption != "aws:kms":
        raise errors.ConfigError("KNIFY_S3_KMS_KEY: set KNIFY_S3_ENCRYPTION=aws:kms with it")
    return {
        "s3_endpoint_url": env.str("S3_ENDPOINT_URL", "") or None,
        "s3_region": env.str("S3_REGION", "") or None,
        "s3_addressing": env.str(
            "S3_ADDRESSING", "path", validate=OneOf(("path", "virtual", "auto"))
        ),
        "s3_encryption": encryption or None,
        "s3_kms_key": key,
        "s3_ca": variables.path(env, "S3_CA"),
    }


def node(env: Env) -> dict[str, Any]:
    """What this machine has, and how it looks after its jobs."""
    cores = os.cpu_count() or 1
    return {
        "node": env.str("NODE", "", validate=_is_name) or _node_name(),
        "slots": env.int("SLOTS", 2 * cores, validate=Range(1, 10_000)),
        "node_cpus": env.float("NODE_CPUS", float(cores), validate=Range(0.01, 100_000)),
        "cpu_overcommit": env.float("CPU_OVERCOMMIT", 4.0, validate=Range(0.01, 1_000)),
        "node_memory": variables.size(env, "NODE_MEMORY"),
        "node_disk": variables.size(env, "NODE_DISK"),
        "disk_reserve": variables.size(env, "DISK_RESERVE", "2G") or 0,
        "workspace_cache_bytes": variables.size(env, "WORKSPACE_CACHE_BYTES", "10G") or 0,
        "lease_seconds": env.float("LEASE_SECONDS", 15.0, validate=Range(1, 3_600)),
        "sweep_seconds": env.float("SWEEP_SECONDS", 5.0, validate=Range(0.2, 3_600)),
        "schedule_seconds": env.float("SCHEDULE_SECONDS", 60.0, validate=Range(60, 86_400)),
        "node_lost_seconds": env.float("NODE_LOST_SECONDS", 300.0, validate=Range(1, 86_400)),
        "orphan_hours": env.float("ORPHAN_HOURS", 24.0, validate=Range(0, 8_760)),
        "hot_seconds": env.float("HOT_SECONDS", 0.0, validate=Range(0, 86_400)),
        "hot": env.int("HOT", 2 * cores, validate=Range(0, 10_000)),
        "paused": env.int("PAUSED", 400, validate=Range(0, 100_000)),
    }


def sandboxes(env: Env) -> dict[str, Any]:
    """What sandboxes are made of."""
    return {
        "oci_runtime": env.str("OCI_RUNTIME", "") or None,
        "base_image": env.str("BASE_IMAGE", "localhost/knify/base:latest"),
        "agents_image": env.str("AGENTS_IMAGE", "") or None,
        "e2e_image": env.str("E2E_IMAGE", "") or None,
        "data_image": env.str("DATA_IMAGE", "") or None,
        "images": tuple(env.list("IMAGES", ["localhost/*"])),
    }


def kept(env: Env) -> dict[str, Any]:
    """How long what stays."""
    days = Range(0.0001, 3_650)
    return {
        "sandbox_days": env.float("SANDBOX_DAYS", 30.0, validate=days),
        "archive_hours": env.float("ARCHIVE_HOURS", 24.0, validate=Range(0, 87_600)),
        "pack_seconds": env.float("PACK_SECONDS", 300.0, validate=Range(0, 86_400)),
        "job_days": env.float("JOB_DAYS", 90.0, validate=days),
        "artifact_days": env.float("ARTIFACT_DAYS", 30.0, validate=days),
        "workspace_versions": env.int("WORKSPACE_VERSIONS", 10, validate=Range(1, 10_000)),
    }


def limits(env: Env) -> dict[str, Any]:
    """How much a job and a request may be."""
    return {
        "output_bytes": variables.amount(env, "OUTPUT_BYTES", "1G", most="1T"),
        "output_tail_bytes": variables.amount(env, "OUTPUT_TAIL_BYTES", "4M", most="1G"),
        "artifact_bytes": variables.amount(env, "ARTIFACT_BYTES", "2G"),
        "collect_seconds": env.float("COLLECT_SECONDS", 300.0, validate=Range(0, 86_400)),
        "max_body_bytes": variables.amount(env, "MAX_BODY_BYTES", "1M", most="1G"),
        "workspace_bytes": variables.amount(env, "WORKSPACE_BYTES", "2G"),
        "transfers": env.int("TRANSFERS", 16, validate=Range(1, 10_000)),
        "tenant_transfers": env.int("TENANT_TRANSFERS", 4, validate=Range(1, 10_000)),
        "transfer_rate": env.int("TRANSFER_RATE", 64 * 1024, validate=Range(1, 2**40)),
    }


def agents(env: Env) -> dict[str, Any]:
    """What agents are told."""
    return {
        "e2e_agent": env.str("E2E_AGENT", "runbook", validate=OneOf(("runbook", *_AGENTS))),
        "exam_agent": env.str("EXAM_AGENT", "none", validate=OneOf(("none", *_AGENTS))),
        "models_file": variables.path(env, "MODELS_FILE"),
        "sources_file": variables.path(env, "SOURCES_FILE"),
        "browser_tenants": variables.names(env, "BROWSER_TENANTS"),
        "databases_file": variables.path(env, "DATABASES_FILE"),
        "profiles_file": variables.path(env, "PROFILES_FILE"),
    }


def secrets(env: Env) -> dict[str, Any]:
    """Where jobs' secrets may come from."""
    return {
        "secret_env": variables.names(env, "SECRET_ENV"),
        "secret_dir": variables.path(env, "SECRET_DIR"),
        "vault_addr": variables.address(env, "VAULT_ADDR"),
        "vault_token_file": variables.path(env, "VAULT_TOKEN_FILE"),
        "vault_mount": variables.place(env, "VAULT_MOUNT", "secret"),
        "vault_prefix": variables.place(env, "VAULT_PREFIX", "knify/{tenant}"),
        "vault_namespace": env.str("VAULT_NAMESPACE", "") or None,
        "vault_ca": variables.path(env, "VAULT_CA"),
    }


def gateway(env: Env) -> dict[str, Any]:
    """Where the gateway sends what, and what it lets through."""
    return {
        "anthropic_base_url": variables.url(env, "ANTHROPIC_BASE_URL", "https://api.anthropic.com"),
        "gemini_base_url": variables.url(
            env, "GEMINI_BASE_URL", "https://generativelanguage.googleapis.com"
        ),
        "openai_base_url": variables.url(env, "OPENAI_BASE_URL", "https://api.openai.com/v1"),
        "prices_file": variables.path(env, "PRICES_FILE"),
        "allowed_models": tuple(env.list("ALLOWED_MODELS", ["*"])),
        "vendor_tools": variables.names(env, "VENDOR_TOOLS"),
        "git_credentials_file": variables.path(env, "GIT_CREDENTIALS_FILE"),
        "git_push": variables.switch(env, "GIT_PUSH"),
        "egress_hosts": variables.hosts(env, "EGRESS_HOSTS"),
        "egress_ca": variables.path(env, "EGRESS_CA"),
    }


def _is_name(text: str) -> None:
    """Queues and keys are named by it."""
    if text and not _NAME.fullmatch(text):
        raise ValidationError("must be letters, digits, . _ and -, the first no sign: node-1")


def _node_name() -> str:
    name = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower()).strip("-")[:63]
    return name if _NAME.fullmatch(name) else "node"

"""Where jobs' secrets may come from, as the doctor sees it: whether it is there."""

from __future__ import annotations

import os
from pathlib import Path

from knify import settings as settings_module
from knify import vault
from knify.host import survey
from knify.host.check import Check

_NAME = "secrets"


def check_sources(host: survey.Host) -> Check:
    """What the operator offers to jobs must be there: they fail otherwise."""
    return check(host.settings)


def check(settings: settings_module.Settings) -> Check:
    """The same of these settings alone."""
    found = _folder(settings.secret_dir) if settings.secret_dir is not None else None
    if found is not None:
        return found
    if settings.vault_addr is not None and (problem := vault.problem(settings)):
        cure = "see KNIFY_VAULT_ADDR, KNIFY_VAULT_TOKEN_FILE and KNIFY_VAULT_CA"
        return Check(_NAME, "failure", problem, cure)
    absent = [name for name in settings.secret_env if not os.environ.get(name)]
    if absent:
        message = f"not set here: {', '.join(absent)} (KNIFY_SECRET_ENV): jobs that name it fail"
        return Check(_NAME, "warning", message, "set it where `knify up` or the worker is started")
    return Check(_NAME, "ok", f"jobs may name {_offered(settings)}")


def _folder(folder: Path) -> Check | None:
    if not folder.is_dir():
        message = f"KNIFY_SECRET_DIR {folder} is no folder: jobs that name a file of it fail"
        return Check(_NAME, "failure", message, "make it, or unset KNIFY_SECRET_DIR")
    if folder.stat().st_mode & 0o007:
        message = f"everybody on this machine can reach {folder}"
        return Check(_NAME, "warning", message, f"chmod 700 {folder}, or what is mounted there")
    return None


def _offered(settings: settings_module.Settings) -> str:
    """In words."""
    count = len(settings.secret_env)
    parts = [f"{count} variable{'s' * (count > 1)}"] if count else []
    parts += ["files"] if settings.secret_dir is not None else []
    parts += ["Vault"] if settings.vault_addr is not None else []
    return ", ".join([*parts, "what their tenant keeps here"])

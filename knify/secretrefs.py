"""Secrets by reference: what a job may name, never what it is. BadRequest names the field."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from knify import fields, model

ENV: Final = "env"  # a variable of the worker that the operator allows
FILE: Final = "file"  # below the operator's folder of secrets
VAULT: Final = "vault"  # of the tenant: kept by Knify, or, as PATH#FIELD, in HashiCorp Vault
SOURCES: Final = (ENV, FILE, VAULT)
MOST: Final = 100  # of one job
NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"  # of one that Knify keeps
VARIABLE: Final = r"[A-Za-z_][A-Za-z0-9_]{0,127}"
_PART: Final = r"(?!\.{1,2}(?:/|#|$))[A-Za-z0-9_@+=.-]+"
PATH: Final = rf"{_PART}(?:/{_PART})*"
#: What a key looks like.
KEYS: Final = {ENV: VARIABLE, FILE: PATH, VAULT: rf"{NAME}|{PATH}#[^\x00-\x20#]{{1,128}}"}
_WORDS: Final = {
    ENV: "is a variable of the worker's, such as GITHUB_TOKEN",
    FILE: "is a path below the operator's folder of secrets, such as team/token",
    VAULT: "is a name, or PATH#FIELD in Vault",
}
_PARTS: Final = ("name", "source", "key")
LONGEST: Final = 512  # characters of a key


def read(
    written: Sequence[Any] | None, env: Mapping[str, str], taken: Sequence[str | None] = ()
) -> tuple[model.SecretRef, ...]:
    """The references of a request. `env`: its plain variables; `taken`: those of the operator's."""
    if len(written or ()) > MOST:
        raise fields.bad("secrets", f"a job has at most {MOST} secrets")
    found: dict[str, model.SecretRef] = {}
    for n, one in enumerate(written or ()):
        ref = _ref(f"secrets.{n}", one)
        if ref.name in found or ref.name in env:
            where = "env" if ref.name in env else "secrets"
            raise fields.bad(f"secrets.{n}.name", f"{ref.name} stands in {where} already")
        if ref.name in taken:
            raise fields.bad(f"secrets.{n}.name", f"{ref.name} is the operator's: leave it out")
        found[ref.name] = ref
    return tuple(found.values())


def is_in_hashicorp(ref: model.SecretRef) -> bool:
    """Whether it names a field of a path there."""
    return ref.source == VAULT and "#" in ref.key


def _ref(field: str, written: Any) -> model.SecretRef:
    if not isinstance(written, dict):
        raise fields.bad(field, "a secret is an object with name, source and key")
    for part in sorted(set(written) - set(_PARTS), key=str):
        # What stands there is not repeated: it may be the secret itself.
        why = "a secret is named, never embedded: give name, source and key"
        raise fields.bad(f"{field}.{str(part)[:40]}", why)
    for part in _PARTS:
        if not isinstance(written.get(part), str):
            raise fields.bad(f"{field}.{part}", f"a secret needs {part}, a text")
    ref = model.SecretRef(**written)
    if not re.fullmatch(VARIABLE, ref.name):
        raise fields.bad(f"{field}.name", "a variable's name has letters, digits and _ only")
    if ref.source not in SOURCES:
        raise fields.bad(f"{field}.source", f"source is one of {', '.join(SOURCES)}")
    if len(ref.key) > LONGEST or not re.fullmatch(KEYS[ref.source], ref.key):
        words = _WORDS[ref.source]
        raise fields.bad(f"{field}.key", f"the key of source {ref.source} {words}")
    return ref

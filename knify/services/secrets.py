"""Use cases on secrets that Knify keeps for tenants: values come out into jobs only."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

from knify import disguises, errors, model, secretrefs, units
from knify.core import Core
from knify.store import secrets as store

LONGEST: Final = 16 * 1024  # bytes of a value, wherever it comes from
_NAME: Final = re.compile(secretrefs.NAME)


def put(core: Core, tenant: str, name: str, value: str) -> store.Kept:
    """Keep it, instead of the value before. BadRequest, SecretLimit."""
    if not _NAME.fullmatch(name):
        words = "a secret's name has 1 to 128 letters, digits and ._-, the first a letter or digit"
        raise errors.BadRequest(words, detail={"field": "name"})
    try:
        check(value)
    except ValueError as wrong:
        raise errors.BadRequest(f"value: {wrong}", detail={"field": "value"}) from None
    # Whose it is, is sealed with it: a ciphertext under another name or tenant opens nothing.
    return core.store.secrets.put(tenant, name, core.sealed.seal(json.dumps([tenant, name, value])))


def value(core: Core, tenant: str, name: str) -> str | None:
    """What was kept, for a job of the tenant's; None: there is none.

    ObjectStoreError when it was sealed with another master key, or for somebody else.
    """
    sealed = core.store.secrets.sealed(tenant, name)
    if sealed is None:
        return None
    whose, called, found = json.loads(core.sealed.unseal(sealed))
    if (whose, called) != (tenant, name):
        raise errors.ObjectStoreError(f"the secret {name} was sealed for another name or tenant")
    return str(found)


def check(value: str) -> None:
    """ValueError, with the cure, for a text that no job could be given."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError("it is no text in UTF-8") from None
    if size < disguises.SHORTEST:
        # Such a short text stands in any output by chance: it cannot be covered there.
        raise ValueError(f"it is shorter than {disguises.SHORTEST} bytes: make it longer")
    if size > LONGEST:
        raise ValueError(f"it is longer than {units.show_size(LONGEST)}")
    if "\0" in value:
        raise ValueError("it holds a NUL character, which no variable can")


def check_all(core: Core, tenant: str, refs: Sequence[model.SecretRef]) -> None:
    """Raise BadRequest unless the tenant has all those that a job names."""
    own = {
        ref.key: n
        for n, ref in reversed(list(enumerate(refs)))
        if ref.source == secretrefs.VAULT and not secretrefs.is_in_hashicorp(ref)
    }
    for name in sorted(core.store.secrets.missing(tenant, list(own)), key=own.__getitem__):
        raise errors.BadRequest(
            f"no secret {name}: keep it with PUT /secrets/{name}",
            detail={"field": f"spec.secrets.{own[name]}.key"},
        )

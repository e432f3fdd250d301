"""Secrets in this worker's hands: read where a command is started, and remembered with its sandbox.

A sandbox's later turns may still hold what an earlier one was given (in a file, say), and by then
it may have another value where it came from. So each value that a sandbox is given is kept with
its record, sealed with the master key, as long as it has files: that is what must be covered in
all that leaves it, whichever turn it is and whoever follows it.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from knify import credentials, errors, masking, model, secretrefs, units, vault
from knify.core import Core
from knify.services import secrets
from knify.turn import Turn

log = logging.getLogger(__name__)

_MOST: Final = 64 * 1024  # bytes of all values of a job; Linux takes not much more as variables
_MOST_KEPT: Final = 256 * 1024  # bytes of all that one sandbox was ever given


@dataclass(frozen=True, slots=True)
class Given:
    """What a turn's command is given."""

    env: dict[str, str]
    changes: dict[str, str]  # of its sandbox's record: to be written before the command starts


def check(core: Core, x: model.Execution) -> None:
    """Raise SecretMissing, early, unless all can be read here; SecretsAway, to be tried again."""
    _read(core, x)


def take(core: Core, turn: Turn) -> Given:
    """The values as they are now. `turn.masks` knows them from here on. Errors as in `check`."""
    env, before = _read(core, turn.x), _before(core, turn.x)
    kept = tuple(dict.fromkeys((*before, *env.values())))
    if sum(map(len, kept)) > _MOST_KEPT:
        why = "this sandbox was given too many secrets, one after the other: begin in a new one"
        raise errors.SecretMissing(why)
    turn.masks = _masks(turn.x, kept)
    changes = {} if kept == before else {"custody": core.sealed.seal(json.dumps(kept))}
    return Given(env, changes)


def hidden(core: Core, turn: Turn) -> masking.Masks:
    """What nothing that leaves this turn's sandbox may show: all values that it was ever given.

    ObjectStoreError when they were sealed with another master key.
    """
    if turn.masks is None:
        kept = _before(core, turn.x)
        if turn.x.is_after_rollback:  # what was kept may be forgotten
            kept += tuple(_read(core, turn.x).values())
        turn.masks = _masks(turn.x, kept)
    return turn.masks


def _masks(x: model.Execution, kept: tuple[str, ...]) -> masking.Masks:
    values = (*kept, *credentials.of(x.spec.actor).values())
    return masking.Masks(values) if values else masking.NONE


def _before(core: Core, x: model.Execution) -> tuple[str, ...]:
    """What its sandbox was given before now; a first job without secrets need not ask for that."""
    if x.parent_id is None and not x.spec.secrets:
        return ()
    sandbox = core.store.sandboxes.find(x.sandbox_id or "")
    return _kept(core, sandbox) if sandbox is not None else ()


def _kept(core: Core, sandbox: model.Sandbox) -> tuple[str, ...]:
    if sandbox.custody is None:
        return ()
    return tuple(json.loads(core.sealed.unseal(sandbox.custody)))


def _read(core: Core, x: model.Execution) -> dict[str, str]:
    found = {}
    for ref in x.spec.secrets:
        try:
            value = _SOURCES[ref.source](core, x.tenant, ref)
            secrets.check(value)
            found[ref.name] = value
        except ValueError as wrong:
            # The cause is not chained: its own message may quote what was read.
            raise errors.SecretMissing(f"the secret {ref.name}: {wrong}") from None
        except errors.ObjectStoreError as sealed:  # waiting would not help
            raise errors.SecretMissing(f"the secret {ref.name}: {sealed.message}") from None
    if sum(len(value.encode()) for value in found.values()) > _MOST:
        raise errors.SecretMissing(f"a job's secrets have at most {units.show_size(_MOST)}")
    return found


def _of_env(core: Core, tenant: str, ref: model.SecretRef) -> str:
    if ref.key not in core.settings.secret_env:
        raise ValueError(f"the operator does not allow the variable {ref.key} (KNIFY_SECRET_ENV)")
    value = os.environ.get(ref.key, "")
    if not value:
        raise ValueError(f"this node's worker has no variable {ref.key}")
    return value


def _of_file(core: Core, tenant: str, ref: model.SecretRef) -> str:
    folder = core.settings.secret_dir
    if folder is None:
        raise ValueError("the operator has set no folder of secrets (KNIFY_SECRET_DIR)")
    try:
        return _content(folder.resolve(), folder / ref.key)
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8 text") from None
    except (OSError, RuntimeError) as failed:  # RuntimeError: links in a circle
        # One answer to all that is not there for jobs: what else is there is the operator's.
        log.warning("tenant %s names the secret file %r: %s", tenant, ref.key, failed)
        raise ValueError(
            f"there is no file {ref.key} for jobs in the operator's folder of secrets: "
            "ask the operator, whose worker's log says why"
        ) from None


def _content(folder: Path, path: Path) -> str:
    """Of a regular file below the folder, symlinks followed as far as they stay in it. OSError."""
    real = path.resolve(strict=True)
    if not real.is_relative_to(folder):
        raise OSError("it is not below the folder")
    if not real.is_file():
        raise OSError("it is no regular file")
    with real.open("rb") as file:
        return file.read(secrets.LONGEST + 3).decode().removesuffix("\n").removesuffix("\r")


def _of_vault(core: Core, tenant: str, ref: model.SecretRef) -> str:
    if secretrefs.is_in_hashicorp(ref):
        path, _, name = ref.key.partition("#")
        return vault.read(core.settings, tenant, path, name)
    found = secrets.value(core, tenant, ref.key)
    if found is None:
        raise ValueError(f"there is no {ref.key} any more: keep it with PUT /secrets/{ref.key}")
    return found


_SOURCES: Final[dict[str, Callable[[Core, str, model.SecretRef], str]]] = {
    secretrefs.ENV: _of_env,
    secretrefs.FILE: _of_file,
    secretrefs.VAULT: _of_vault,
}

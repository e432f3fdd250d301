"""Objects that no record names: what a crash, a lost disk or a restored Redis left behind."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from knify import clock, errors
from knify.core import Core
from knify.objects import base
from knify.store import keys

_DAY_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000
_BATCH = 500
#: Folders of the store, and the kind of record that owns what is in them.
_OWNERS: Final = {"executions": "x", "workspaces": "w", "sandboxes": "s"}
_SUSPICIOUS = 10  # ownerless records' worth of objects beside none that has an owner


@dataclass(slots=True)
class Tally:
    """What was found of one kind."""

    owned: int = 0  # names that have a record
    orphans: int = 0  # names that have none
    objects: int = 0  # objects of those
    size: int = 0  # bytes of them
    names: list[str] = field(default_factory=list)  # the first of them


@dataclass(frozen=True, slots=True)
class Report:
    """What `knify gc` saw, and whether it may act on it."""

    kinds: dict[str, Tally]
    upcoming: dict[str, int]  # what goes by itself within a day
    doubt: str = ""  # why nothing should be removed


def check(core: Core, marker: str | None) -> None:
    """ConfigError unless Redis is this home's: to another one, all objects would be orphans."""
    known = core.store.registry.known_installation()
    if marker is None or known != marker:
        raise errors.ConfigError(
            f"Redis holds installation {known or 'none'}, but KNIFY_HOME belongs to "
            f"{marker or 'none'}: nothing is touched"
        )


def look(core: Core) -> Report:
    """Compare all objects older than a day with Redis. Removes nothing."""
    kinds = {kind: Tally() for kind in _OWNERS}
    for kind, name, found, owned in _judged(core):
        tally = kinds[kind]
        if owned:
            tally.owned += 1
            continue
        tally.orphans += 1
        tally.objects += len(found)
        tally.size += sum(listed.size for listed in found)
        if len(tally.names) < _SUSPICIOUS:
            tally.names.append(name)
    return Report(kinds, _upcoming(core), _doubt(core, kinds))


def remove(core: Core) -> dict[str, int]:
    """Delete what `look` calls orphans, asked anew for each; objects per kind."""
    removed = dict.fromkeys(_OWNERS, 0)
    for kind, _, found, owned in _judged(core):
        if owned:
            continue
        for listed in found:
            core.objects.delete(listed.key)
        removed[kind] += len(found)
    return removed


def _judged(core: Core) -> Iterator[tuple[str, str, list[base.Listed], bool]]:
    """Kind, name of the owner, its old objects, and whether it has a record."""
    for kind, record in _OWNERS.items():
        groups = _groups(core.objects.list(kind))
        while batch := list(itertools.islice(groups, _BATCH)):
            there = core.store.retention.known(record, [name for name, _ in batch])
            for (name, found), owned in zip(batch, there, strict=True):
                yield kind, name, found, owned


def _groups(listing: Iterable[base.Listed]) -> Iterator[tuple[str, list[base.Listed]]]:
    """The old objects of each owner. Both stores list an owner's objects one after the other."""
    before = clock.now_ms() - _DAY_MS
    for name, found in itertools.groupby(listing, lambda listed: listed.key.split("/")[1]):
        old = [listed for listed in found if listed.modified_at < before]
        if old:
            yield name, old


def _doubt(core: Core, kinds: dict[str, Tally]) -> str:
    registry, hours = core.store.registry, core.settings.orphan_hours
    if registry.now_ms() - registry.rolled_back_at() < hours * _HOUR_MS:
        return f"Redis was put back to an older state less than {hours:g} hours ago"
    owned = sum(tally.owned for tally in kinds.values())
    orphans = sum(tally.orphans for tally in kinds.values())
    if orphans > _SUSPICIOUS and orphans > owned:
        return (
            f"{orphans} of {owned + orphans} records that own objects are not in Redis: "
            "it looks empty or restored from an old file"
        )
    return ""


def _upcoming(core: Core) -> dict[str, int]:
    """How many of each go by themselves within a day."""
    tomorrow, limits, count = (
        clock.now_ms() + _DAY_MS,
        core.settings,
        core.store.retention.count,
    )
    job = tomorrow - int(limits.job_days * _DAY_MS)
    return {
        "jobs": count(keys.PACKED, job) + count(keys.PACKED_FILES, job),
        "artifacts": count(keys.PACKED_FILES, tomorrow - int(limits.artifact_days * _DAY_MS)),
        "sandboxes": count(keys.EXPIRY, tomorrow),
    }

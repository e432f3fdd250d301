"""What became of the scripted run: the same checker as for real jobs, then what is left over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from knify import model
from knify.core import Core
from knify.store import keys
from tests.chaos import checker, heard, leaks, observe
from tests.chaos.history import Violation
from tests.chaos.load import all_ids
from tests.chaos.scripted_users import Users
from tests.webhooks.receiver import Got


def look(core: Core, users: Users, host: Path, got: Iterable[Got]) -> Iterator[Violation]:
    """All that should not be."""
    store, seen = core.store, []
    yield from users.found
    for id_ in all_ids(store):
        one = observe.read(core, id_)
        wish = users.wishes.get(one.key)
        yield from checker.job(wish, one) if wish else []
        seen.append(replace(one, entries=()))
    yield from heard.check(list(got), seen)
    gone = users.forgotten | users.deleted
    rest = (wish for wish in users.wishes.values() if not gone & set(wish.ids))
    yield from checker.lost(rest, seen)
    for id_ in sorted(users.deleted):
        if store.client.exists(keys.execution(id_)):
            yield Violation("leaked", id_, "was deleted and is there")
    yield from checker.unexpected(users.wishes, seen)
    yield from checker.idempotency(users.wishes.values(), seen)
    yield from _on_the_host(core, host)
    records = leaks.sandboxes(store.client)
    yield from left(core, records)
    yield from leaks.stored(core, records)


def left(core: Core, records: dict[str, model.Sandbox] | None = None) -> Iterator[Violation]:
    """What time heals."""
    client = core.store.client
    yield from leaks.redis_keys(client, "n")
    yield from leaks.lists(client, "n", leaks.sandboxes(client) if records is None else records)


def _on_the_host(core: Core, host: Path) -> Iterator[Violation]:
    for again in (host / "ran").glob("*.again"):
        yield Violation("doubled", again.stem, "was started in two sandboxes")
    for missing in (host / "ran").glob("*.missing"):
        yield Violation("lost", "", f"{missing.stem} missed files of earlier turns")
    for running in (host / "boxes").glob("*/running"):
        yield Violation("leaked", "", f"{running.parent.name} runs without a turn")
    names = {p.name for kind in ("boxes", "volumes") for p in (host / kind).iterdir()}
    for name in sorted(names):
        sandbox = core.store.sandboxes.find(name)
        if sandbox is None or sandbox.state in ("deleted", "archived"):
            state = sandbox and sandbox.state
            yield Violation("leaked", "", f"{name} is there, its record is {state}")

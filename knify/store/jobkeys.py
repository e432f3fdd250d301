"""Names of the keys of definitions and their runs; `keys.py` says what each holds."""

from __future__ import annotations

from knify.store.keys import PREFIX


def definition(definition_id: str) -> str:
    """The record of a definition; its lists begin with the same."""
    return f"{PREFIX}d:{definition_id}"


def runs(definition_id: str) -> str:
    """Its runs that users see, by their moments."""
    return f"{PREFIX}d:{definition_id}:runs"


def counts(definition_id: str) -> str:
    """How many of them are in each state."""
    return f"{PREFIX}d:{definition_id}:counts"


def live(definition_id: str) -> str:
    """Runs that have not ended, and failed ones that are to be tried again."""
    return f"{PREFIX}d:{definition_id}:live"


def spans(definition_id: str) -> str:
    """Those that have begun: by how long they ran, roughly, and when they began."""
    return f"{PREFIX}d:{definition_id}:spans"


def ends(definition_id: str) -> str:
    """Those that have begun and ended, by when."""
    return f"{PREFIX}d:{definition_id}:ends"


def projects(tenant: str) -> str:
    """A tenant's projects."""
    return f"{PREFIX}t:{tenant}:p"


def definitions(tenant: str, project: str, tag: str | None = None) -> str:
    """A project's definitions: all, or those with a tag."""
    return f"{PREFIX}t:{tenant}:p:{project}" + ("" if tag is None else f":tag:{tag}")


def names(tenant: str, project: str) -> str:
    """The names of a project's definitions."""
    return f"{PREFIX}t:{tenant}:p:{project}:names"

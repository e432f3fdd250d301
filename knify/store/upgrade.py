"""Records of the version before: each is upgraded when it is read, the store once at a start.

To change a record's meaning, raise `model.SCHEMA`, add a function here for each kind that
changed, and keep a store of the version before in `tests/store/` for the test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from knify import errors, model

Fields = Mapping[str, str]

#: Record kind → schema of a record → the function that makes one of the next schema of it.
#: A kind that did not change has no function.
_UPGRADES: dict[str, dict[int, Callable[[Fields], Fields]]] = {"execution": {}, "sandbox": {}}


def record(kind: str, fields: Fields) -> Fields:
    """The fields as this version writes them. Records of schema 1 need not carry the number."""
    upgrades = _UPGRADES[kind]
    for schema in range(int(fields.get("schema", "1")), model.SCHEMA):
        if schema in upgrades:
            fields = upgrades[schema](fields)
    return fields


def check(schema: int) -> None:
    """ConfigError unless this version can read a store of this schema."""
    if schema > model.SCHEMA:
        raise errors.ConfigError(
            f"the store is of schema {schema}, this version knows {model.SCHEMA}: upgrade Knify"
        )
    if schema < model.SCHEMA - 1:
        raise errors.ConfigError(
            f"the store is of schema {schema}, this version reads {model.SCHEMA - 1} and "
            f"{model.SCHEMA}: start the versions between first"
        )

"""The base of bodies: values of exactly their JSON types, and no unknown fields."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import marshmallow as ma
from marshmallow import fields

from api import smorest

MAX_COMPLAINTS = 20  # unknown fields of one object that are told
MAX_GUESSED = 40  # characters of an unknown name, which may still be a known one misspelt

_TYPES: Final[dict[str, str]] = {
    "str": "string", "int": "integer", "float": "number", "bool": "boolean"
}  # fmt: skip


class Exact(fields.Field[Any]):
    """A value of exactly these JSON types: no text for a number, no boolean for an integer."""

    def __init__(self, *types: type, of: type | None = None, **kwargs: Any) -> None:
        """`of`: the type of a list's items or of an object's values."""
        names = [_TYPES.get(kind.__name__, "list" if kind is list else "object") for kind in types]
        self._types, self._of, self._words = types, of, " or ".join(names)
        described = _openapi(types, of) | kwargs.pop("metadata", {})
        super().__init__(metadata=described, **kwargs)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        if type(value) is float and float not in self._types and value.is_integer():
            value = int(value)  # 1.0 is a whole number in JSON
        if type(value) not in self._types:
            raise ma.ValidationError(f"must be a {self._words}")
        if self._of is not None and type(value) in (list, dict):
            self._check_items(value.items() if type(value) is dict else enumerate(value))
        return value

    def _check_items(self, items: Iterable[tuple[str | int, Any]]) -> None:
        for name, item in items:
            if type(item) is not self._of:
                raise ma.ValidationError({str(name)[:100]: ["must be a string"]})


def _openapi(types: tuple[type, ...], of: type | None) -> dict[str, Any]:
    names = {str: "string", int: "integer", float: "number", list: "array", dict: "object"}
    names |= {bool: "boolean"}
    found = list(dict.fromkeys(names[kind] for kind in types))
    described: dict[str, Any] = {"type": found[0] if len(found) == 1 else found}
    if of is not None:
        described |= {"items": {"type": names[of]}} if list in types else {}
        described |= {"additionalProperties": {"type": names[of]}} if dict in types else {}
    return described


def not_known(name: str, known: list[str]) -> str:
    """The complaint about an unknown field."""
    close = difflib.get_close_matches(name, known, n=1) if len(name) <= MAX_GUESSED else []
    hint = f": did you mean {close[0]}?" if close else f"; known are {', '.join(sorted(known))}"
    return f"unknown field{hint}"


class Strict(ma.Schema):
    """Unknown fields are refused, with the nearest known name."""

    def __init__(self, **options: Any) -> None:
        """Fields that may be missing are skipped where they are: most of a spec's are."""
        super().__init__(**options)
        if self.partial is None:
            self.partial = frozenset(_optional(self))

    @ma.pre_load
    def _refuse_unknown(self, data: Any, **_: Any) -> Any:
        if not isinstance(data, dict):
            raise ma.ValidationError("must be an object")
        unknown = [name for name in data if name not in self.fields]
        if unknown:  # looking for the nearest known name takes a while: not for each of a megabyte
            shown = unknown[:MAX_COMPLAINTS]
            raise ma.ValidationError({n[:100]: [self._complaint(n[:100])] for n in shown})
        return data

    def _complaint(self, name: str) -> str:
        return not_known(name, list(self.fields))


def _optional(schema: ma.Schema) -> Iterator[str]:
    """Names of fields without which a body means the same; nested ones as `outer.inner`."""
    for name, field in schema.load_fields.items():
        if not field.required and field.load_default is ma.missing:
            yield name
        if isinstance(field, fields.Nested) and isinstance(field.schema, Strict):
            yield from (f"{name}.{inner}" for inner in _optional(field.schema))


def load(schema: ma.Schema, body: Any) -> dict[str, Any]:
    """A body that the route decorators do not read; BadRequest as they say it."""
    try:
        loaded: dict[str, Any] = schema.load(body)
    except ma.ValidationError as failed:
        raise smorest.problem(failed) from failed
    return loaded

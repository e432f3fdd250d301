"""One operation of the description, and how to walk over all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from api import errors as api_errors

METHODS: Final = ("get", "put", "post", "delete", "patch")
SSE: Final = "text/event-stream"
JSON: Final = "application/json"
_IN_PATH = re.compile(r"{([^}]+)}")


@dataclass(frozen=True, slots=True)
class Operation:
    """A path and a method; `doc` is the description's own object, changed in place."""

    path: str
    method: str
    doc: dict[str, Any]

    @property
    def id(self) -> str:
        """The handler's name."""
        return str(self.doc["operationId"])

    @property
    def is_public(self) -> bool:
        """Whether it needs no key."""
        return not self.doc["security"]

    @property
    def is_of_projects(self) -> bool:
        """Whether it is of the Projects API, whose lists and errors have another form."""
        return api_errors.of_projects(self.path)

    @property
    def responses(self) -> dict[str, Any]:
        """Status to answer."""
        found: dict[str, Any] = self.doc["responses"]
        return found

    @property
    def in_path(self) -> list[str]:
        """Names of the parameters in its path."""
        return _IN_PATH.findall(self.path)

    @property
    def is_stream(self) -> bool:
        """Whether it answers with server-sent events."""
        return SSE in self.responses.get("200", {}).get("content", {})

    @property
    def is_websocket(self) -> bool:
        """Whether it answers a WebSocket's handshake."""
        return "101" in self.responses

    @property
    def parameters(self) -> list[dict[str, Any]]:
        """Its own ones, to be added to."""
        found: list[dict[str, Any]] = self.doc.setdefault("parameters", [])
        return found

    def query(self) -> dict[str, dict[str, Any]]:
        """Its query parameters by name."""
        return {p["name"]: p for p in self.parameters if p.get("in") == "query"}

    def success(self) -> tuple[str, dict[str, Any]]:
        """The status and the answer of a request that went well; a WebSocket's is 101."""
        return next((s, a) for s, a in self.responses.items() if s[0] in "12")


def walk(document: dict[str, Any]) -> Iterator[Operation]:
    """All operations, in the order of the paths."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield Operation(path, method, item[method])


def resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The schema itself where a reference stands."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def properties(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The properties of an object's schema; none for anything else."""
    found: dict[str, Any] = resolve(document, schema).get("properties", {})
    return found

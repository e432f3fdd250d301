"""Links: what was made by one operation can be given to all that take its id."""

from __future__ import annotations

from typing import Any

from api.openapi.operations import JSON, Operation, properties, walk


def describe(document: dict[str, Any]) -> None:
    """From every POST whose answer holds an id to each operation with that id in its path."""
    takers = [
        (o, name)
        for o in walk(document)
        if not o.is_of_projects
        for name in o.in_path
        if name.endswith("_id")
    ]
    for maker in walk(document):
        if maker.method == "post" and not maker.is_of_projects:
            _link(document, maker, takers)


def _link(document: dict[str, Any], maker: Operation, takers: list[tuple[Operation, str]]) -> None:
    answer = maker.success()[1]
    schema = answer.get("content", {}).get(JSON, {}).get("schema", {})
    made = properties(document, schema)
    links = {}
    for taker, name in takers:
        source = _source(maker, name, made)
        if source and len(taker.in_path) == 1:
            pointer = f"$response.body#/{source}"
            links[taker.id] = {"operationId": taker.id, "parameters": {name: pointer}}
    if links:
        answer["links"] = links


def _source(maker: Operation, name: str, made: dict[str, Any]) -> str | None:
    """Where the answer holds that id: under its own name, or as `id` of a `POST /<noun>s`."""
    if name in made:
        return name
    noun = maker.path.rpartition("/")[2].removesuffix("s")
    return "id" if "id" in made and f"{noun}_id" == name else None

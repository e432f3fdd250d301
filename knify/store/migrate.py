"""From the form of schema 2 to that of schema 3: rows in pieces, and lists by words.

Safe to repeat and to race: what is done twice has the same result, and it is scripts that write,
which do nothing once the store's number is raised.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from knify import errors, model
from knify.store import codec, keys, rows, terms
from knify.store.redis import Client, Scripts, changes

_PAGE: Final = 500
_IN_MS: Final = 10**14  # scores of schema 2 are smaller, those of schema 3 larger


def check(client: Client, scripts: Scripts) -> int:
    """How many records there are. ConfigError that names the first which cannot be read.

    Sandboxes count their executions, and go with the last: older versions did not always count.
    """
    uses: defaultdict[str, set[str]] = defaultdict(set)
    read = set[str]()  # a scan may give a key twice
    for kind in ("x", "s"):
        for key in client.scan_iter(f"{keys.PREFIX}{kind}:*", count=1000, _type="hash"):
            fields = client.hgetall(key)
            decode = codec.execution if kind == "x" else codec.sandbox
            try:
                found = decode(fields, key.rpartition(":")[2]) if fields else None
            except (KeyError, ValueError, TypeError) as failed:
                raise errors.ConfigError(f"{key} cannot be read ({failed!r}): not upgraded") \
                    from failed  # fmt: skip
            read.add(key)
            if isinstance(found, model.Execution) and found.sandbox_id:
                uses[found.sandbox_id].add(found.id)
            elif isinstance(found, model.Sandbox):
                counted = fields.get("executions", ""), len(uses[found.id])
                scripts.call("count_uses", model.SCHEMA, found.id, *counted)
    return len(read)


def lists(client: Client, scripts: Scripts) -> None:
    """Enter all executions into the indexes of schema 3, in their order; the old ones go."""
    pattern = f"{keys.PREFIX}t:*:x"
    for index in list(client.scan_iter(pattern, count=1000, _type="zset")):
        for execution_id in _of_before(client, index):
            fields = client.hgetall(keys.execution(execution_id))
            if not codec.is_there(fields):
                client.zrem(index, execution_id)
                continue
            changed, metadata = _row(fields)
            words = terms.of_metadata(metadata)
            if scripts.call("index", execution_id, changes(changed), *words) == "done":
                return
    for what in ("state", "type"):
        for key in client.scan_iter(f"{pattern}:{what}:*", count=1000, _type="zset"):
            client.unlink(key)


def _of_before(client: Client, index: str) -> Iterator[str]:
    """Who is moved leaves this range, so it is always the first page."""
    while names := client.zrangebyscore(index, "-inf", _IN_MS, start=0, num=_PAGE):
        yield from names


def _row(fields: Mapping[str, str]) -> tuple[dict[str, str | None], Mapping[str, Any]]:
    """Changes that make a row of schema 3 of one of schema 2; and the metadata to be found by."""
    text = fields.get("row", "")
    if not text.startswith("{"):
        return {"schema": str(model.SCHEMA)}, json.loads(fields.get("metadata", "{}"))
    old = json.loads(text)
    kept = {name: rows.short(name, value) for name, value in old.items() if name != "id"}
    kept |= {"request": json.loads(old["request"]), "schema": model.SCHEMA}
    metadata = json.loads(old.get("metadata", "{}"))
    if "metadata" in kept:
        kept["metadata"] = metadata
    return dict(rows.encode(kept)), metadata

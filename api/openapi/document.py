"""The description at `/openapi.json`: what the routes say of themselves, finished by rules.

flask-smorest knows paths, bodies and successful answers. The rest follows from them here, for all
routes alike: errors, headers, links, examples. It is made once, when it is first asked for.
"""

from __future__ import annotations

import copy
import hashlib
import json
import threading
from collections.abc import Callable
from typing import Any, Final

from api.openapi import (
    answers,
    examples,
    links,
    manifests,
    operations,
    patterns,
    requests,
    schemas,
    specs,
)
from knify.core import Core

_DESCRIPTION: Final = """
Runs untrusted work in isolated Podman sandboxes.

Every call but health and this description needs `Authorization: Bearer KEY`; the scope that a key
must have stands with each operation. Errors are `{"error", "detail", "code"}`; below `/api/v1/`
they are `{"error", "message", "details"}`, where `error` is the code in small letters.
"""
_KEY: Final = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "knify_live_ID_SECRET",
    "description": "An API key. Scopes: `read` opens what only looks, `write` what changes, `admin`"
    " everything; `operator` is `admin` of the tenant `default`. The scope that an operation needs"
    " stands beside this scheme's name in its `security`.",
}
_TOKEN: Final = {
    "type": "apiKey",
    "in": "query",
    "name": "token",
    "description": "A stream token, see `POST /stream-tokens`: opens one stream, once.",
}


class Document:
    """The description as bytes, made by the first who asks."""

    def __init__(self, read: Callable[[], dict[str, Any]], core: Core) -> None:
        """`read` gives what the routes say of themselves."""
        self._read = read
        self._core = core
        self._lock = threading.Lock()
        self._made: tuple[bytes, str] | None = None

    def text(self) -> tuple[bytes, str]:
        """The JSON and its ETag."""
        with self._lock:
            if self._made is None:
                made = json.dumps(build(self._read(), self._core)).encode()
                self._made = made, hashlib.sha256(made).hexdigest()
        return self._made


def build(found: dict[str, Any], core: Core) -> dict[str, Any]:
    """The whole description, from what the routes say of themselves."""
    document = copy.deepcopy(found)
    document["info"]["description"] = _DESCRIPTION.strip()
    document["info"]["license"] = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
    document["servers"] = [{"url": "/", "description": "this server"}]
    document["components"]["securitySchemes"] = {"key": _KEY, "token": _TOKEN}
    document["components"]["schemas"]["Pagination"] = requests.PAGINATION
    specs.describe(document, core.settings.images, core.models)
    manifests.describe(document, core.settings.images, core.models, core.profiles)
    schemas.describe(document)
    answers.describe(document)
    requests.describe(document)
    for operation in operations.walk(document):
        operation.doc["responses"] = {str(s): a for s, a in operation.responses.items()}
        requests.finish(operation)
        answers.finish(operation)
    patterns.normalise(document)
    links.describe(document)
    examples.errors(document)
    for operation in operations.walk(document):
        examples.finish(document, operation)
        if not operation.parameters:
            del operation.doc["parameters"]
    return document

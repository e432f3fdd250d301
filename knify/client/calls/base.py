"""What a request is: described once, sent by whichever client, perhaps more than once."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from knify.client import answers

T = TypeVar("T")

IDEMPOTENCY_KEY = "Idempotency-Key"
_REPEATABLE = frozenset({"GET", "HEAD", "DELETE", "PUT"})


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, and what its answer means."""

    method: str
    path: str  # quoted
    parse: Callable[[httpx.Response], T]
    params: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None  # sent as JSON
    content: bytes | None = None  # sent as it is; its type stands in the headers
    headers: Mapping[str, str] = field(default_factory=dict)
    harmless: bool = False  # a POST that may come twice
    answers: frozenset[int] = frozenset()  # refusals that are good answers here
    removes: bool = False  # a second one that finds nothing is done

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does no more than sending it once."""
        known = IDEMPOTENCY_KEY in self.headers
        return self.harmless or known or self.method in _REPEATABLE


def get(path: str, parse: Callable[[httpx.Response], T], **params: object) -> Call[T]:
    """A question; parameters that are None are left out."""
    return Call("GET", path, parse, _texts(params))


def do(path: str, parse: Callable[[httpx.Response], T], **params: object) -> Call[T]:
    """A POST that leaves the same state when it comes twice."""
    return Call("POST", path, parse, _texts(params), harmless=True)


def delete(path: str, parse: Callable[[httpx.Response], T], **params: object) -> Call[T]:
    """A deletion."""
    return Call("DELETE", path, parse, _texts(params), removes=True)


def create(
    path: str,
    parse: Callable[[httpx.Response], T],
    body: Mapping[str, Any],
    idempotency_key: str | None,
    **params: object,
) -> Call[T]:
    """A POST that makes something; a key of its own lets it be repeated. None is left out."""
    given = {name: value for name, value in body.items() if value is not None}
    headers = {IDEMPOTENCY_KEY: idempotency_key or new_key()}
    return Call("POST", path, parse, _texts(params), body=given, headers=headers)


def new_key() -> str:
    """A fresh Idempotency-Key."""
    return uuid.uuid4().hex


def path(*words: str) -> str:
    """Words as a path, each quoted whole."""
    return "".join(f"/{quoted(word, '')}" for word in words)


def quoted(text: str, safe: str) -> str:
    """File names that are no UTF-8 come as surrogates and go back as their own bytes."""
    return quote(text, safe=safe, errors="surrogateescape")


def nothing(response: httpx.Response) -> None:
    """The answer that says nothing but that it is done."""


def record(response: httpx.Response) -> dict[str, Any]:
    """An answer that is an object of few uses."""
    return answers.object_of(response)


def _texts(params: Mapping[str, object]) -> dict[str, str]:
    return {name: _text(value) for name, value in params.items() if value is not None}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

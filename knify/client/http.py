"""What both kinds of client say to httpx in the same words."""

from __future__ import annotations

import functools
import inspect
import ssl
from collections.abc import Callable
from typing import Any, TypedDict, TypeVar

import httpx

import knify
from knify.client import access
from knify.client.calls.base import Call

F = TypeVar("F", bound=Callable[..., Any])

CHUNK = 256 * 1024  # bytes of a body at a time


class Options(TypedDict):
    """The arguments of httpx.Client and httpx.AsyncClient."""

    base_url: str
    headers: dict[str, str]
    timeout: float
    limits: httpx.Limits
    verify: ssl.SSLContext | bool
    trust_env: bool
    follow_redirects: bool


def options(where: access.Access, timeout: float) -> Options:
    """For one server."""
    key = {"Authorization": f"Bearer {where.api_key}"} if where.api_key else {}
    return Options(
        base_url=where.url,
        headers={"User-Agent": f"knify/{knify.__version__}"} | key,
        timeout=timeout,
        # Each stream and each waiting holds one; it is the server that says how many are too many.
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
        # Where no TLS is spoken, no certificates are loaded; that takes most of a short command.
        verify=where.url.startswith("https:") or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        trust_env=not where.loopback,  # then no proxy of the environment stands in between
        follow_redirects=False,  # the key goes to this server only
    )


def request(
    client: httpx.Client | httpx.AsyncClient,
    call: Call[Any],
    *,
    content: Any = None,
    headers: dict[str, str] | None = None,
    timeout: httpx.Timeout | None = None,
) -> httpx.Request:
    """A call as a request; `content` instead of its own body."""
    return client.build_request(
        call.method,
        call.path,
        params=dict(call.params) or None,
        json=call.body,
        content=call.content if content is None else content,
        headers=dict(call.headers) | (headers or {}),
        timeout=httpx.USE_CLIENT_DEFAULT if timeout is None else timeout,
    )


def dressed(method: F, described: Callable[..., Any]) -> F:
    """A client's method with the name, the words and the arguments of what it stands for."""
    functools.update_wrapper(method, described)
    signature = inspect.signature(described)
    self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    signed = signature.replace(parameters=[self, *signature.parameters.values()])
    method.__signature__ = signed  # type: ignore[attr-defined]
    return method

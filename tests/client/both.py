"""Both clients behind one face, so that every test of one is a test of the other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, cast

from anyio import from_thread

from knify.client import AsyncClient, Client

Connect = Callable[..., Client]
KINDS = ("blocking", "asynchronous")
_END = object()


@contextlib.contextmanager
def connecting(kind: str) -> Iterator[Connect]:
    """Makes clients of one kind; the asynchronous ones run in an event loop of their own."""
    with contextlib.ExitStack() as stack:
        if kind == "blocking":
            yield lambda *args, **options: stack.enter_context(Client(*args, **options))
            return
        portal = stack.enter_context(from_thread.start_blocking_portal())

        def connect(*args: Any, **options: Any) -> Client:
            client = AsyncClient(*args, **options)
            stack.callback(portal.call, client.aclose)
            return cast(Client, Blocked(client, portal))

        yield connect


class Blocked:
    """An asynchronous client that is waited for."""

    def __init__(self, client: AsyncClient, portal: from_thread.BlockingPortal) -> None:
        self._client, self._portal = client, portal

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return self._blocked(method) if callable(method) else method

    def _blocked(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            made = method(*args, **options)
            if hasattr(made, "__aiter__"):
                return self._values(made)
            return self._portal.call(lambda: made)

        return call

    def _values(self, values: Any) -> Iterator[Any]:
        async def following() -> Any:
            return await anext(values, _END)

        try:
            while (value := self._portal.call(following)) is not _END:
                yield value
        finally:
            self._portal.call(values.aclose)

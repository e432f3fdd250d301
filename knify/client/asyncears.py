"""The ear of the asynchronous client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Self

import httpx
import httpx_sse

from knify.client import answers, http, steps


class Ear:
    """The one stream that a procedure listens to."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._http = client
        self._response: httpx.Response | None = None
        self._events: AsyncIterator[httpx_sse.ServerSentEvent] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def listen(self, wanted: steps.Listen) -> httpx.Response:
        """Open a stream; the one before is closed."""
        await self._close()
        request = http.request(
            self._http, wanted.call, headers=wanted.headers, timeout=wanted.timeout
        )
        response = self._response = await self._http.send(request, stream=True)
        if not response.is_success:
            await response.aread()
        answers.accepted(response)
        if wanted.look is not None:
            assert isinstance(response.stream, httpx.AsyncByteStream)
            response.stream = Watched(response.stream, wanted.look)
        self._events = httpx_sse.EventSource(response).aiter_sse()
        return response

    async def hear(self) -> httpx_sse.ServerSentEvent | None:
        """The next event; None at the end."""
        assert self._events is not None
        return await anext(self._events, None)

    async def _close(self) -> None:
        if self._response is not None:
            await self._response.aclose()


class Watched(httpx.AsyncByteStream):
    """A stream whose every sign of life is seen, comments too."""

    def __init__(self, inner: httpx.AsyncByteStream, look: Callable[[], None]) -> None:
        self._inner, self._look = inner, look

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            yield chunk
            self._look()

    async def aclose(self) -> None:
        """Give the connection back."""
        await self._inner.aclose()

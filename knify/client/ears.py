"""The ear of the blocking client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Self

import httpx
import httpx_sse

from knify.client import answers, http, steps


class Ear:
    """The one stream that a procedure listens to."""

    def __init__(self, client: httpx.Client) -> None:
        self._http = client
        self._response: httpx.Response | None = None
        self._events: Iterator[httpx_sse.ServerSentEvent] = iter(())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def listen(self, wanted: steps.Listen) -> httpx.Response:
        """Open a stream; the one before is closed."""
        self._close()
        request = http.request(
            self._http, wanted.call, headers=wanted.headers, timeout=wanted.timeout
        )
        response = self._response = self._http.send(request, stream=True)
        if not response.is_success:
            response.read()
        answers.accepted(response)
        if wanted.look is not None:
            assert isinstance(response.stream, httpx.SyncByteStream)
            response.stream = Watched(response.stream, wanted.look)
        self._events = httpx_sse.EventSource(response).iter_sse()
        return response

    def hear(self) -> httpx_sse.ServerSentEvent | None:
        """The next event; None at the end."""
        return next(self._events, None)

    def _close(self) -> None:
        if self._response is not None:
            self._response.close()


class Watched(httpx.SyncByteStream):
    """A stream whose every sign of life is seen, comments too."""

    def __init__(self, inner: httpx.SyncByteStream, look: Callable[[], None]) -> None:
        self._inner, self._look = inner, look

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._inner:
            yield chunk
            self._look()

    def close(self) -> None:
        """Give the connection back."""
        self._inner.close()

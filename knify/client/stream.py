"""Where a client is in a stream: what it has seen, and how often it came for nothing."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
import httpx_sse

from knify.client import answers, calls, errors, retry

#: The server sends a comment every 15 s: silence beyond this is a dead connection.
TIMEOUT = httpx.Timeout(10.0, read=40.0)
LONG = 10.0  # seconds after which a connection has stood, even if it brought nothing


@dataclass(slots=True)
class Position:
    """Where the next connection goes on."""

    after: str | None = None  # id of the last frame that was seen whole
    fruitless: int = 0  # connections in a row that brought nothing
    job_ended: bool = False  # known since before the newest connection was made
    over: bool = False  # the terminal frame was seen

    def headers(self) -> dict[str, str]:
        """What a connection starts with."""
        after = {"Last-Event-ID": self.after} if self.after else {}
        return {"Accept": "text/event-stream", "Cache-Control": "no-store"} | after

    def saw(self, event: httpx_sse.ServerSentEvent) -> answers.Frame | None:
        """Move on to an event; None for one that only keeps the connection alive."""
        if not event.data:
            return None
        frame = answers.frame(event.id, event.data)
        self.after = event.id or self.after
        self.fruitless = 0
        # Only the neutral output has a last frame of its own; other streams end with a 204.
        self.over = frame.data.get("type") == "completed" and "status" in frame.data
        return frame

    def came_for_nothing(
        self, policy: retry.Policy, lived: float, refused: errors.ApiError | None
    ) -> float:
        """Seconds until the next attempt. Raises ConnectionFailed when patience is at its end.

        `lived`: seconds that the connection stood; a long one was only silent, as jobs may be.
        """
        self.fruitless = 1 if lived > LONG else self.fruitless + 1
        delay = policy.delay(self.fruitless, refused.retry_after if refused else None)
        if self.fruitless >= policy.stream_attempts or delay is None:
            raise errors.ConnectionFailed(
                f"the stream broke and did not come back after {self.fruitless} attempts"
            ) from refused
        return delay


def events_of(response: httpx.Response) -> httpx_sse.EventSource:
    """The events of a response; ConnectionFailed when it is no stream."""
    kind = response.headers.get("Content-Type", "")
    if response.status_code != 200 or not kind.startswith("text/event-stream"):
        raise errors.ConnectionFailed(f"{response.url} is not a stream: {kind or 'no type'}")
    return httpx_sse.EventSource(response)


def call(job_id: str, kind: str, *, raw: bool = False) -> calls.Call:
    """The request for a job's `events` or `output`."""
    return calls.job(job_id, f"{kind}/stream", **({"raw": "1"} if raw else {}))

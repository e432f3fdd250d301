"""Procedures that are the same whether a client blocks or not: generators that ask to be served.

A procedure yields what it wants to be done (an `Effect`) and is sent what came of it, or is thrown
the error. It does no I/O and never sleeps, so each is written once; `blocking.py` and
`asynchronous.py` only know how to do the few effects. Procedures that give many values yield each
as an `Item` in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import httpx

from knify.client import access, errors, retry
from knify.client.calls.base import Call

T = TypeVar("T")
R = TypeVar("R")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Ask(Generic[T]):
    """Send a request and read its whole answer, once → httpx.Response. ApiError for a refusal."""

    call: Call[T]
    body: Callable[[], Iterator[bytes]] | None = None  # instead of the call's own
    timeout: httpx.Timeout | None = None  # instead of the client's


@dataclass(frozen=True, slots=True)
class Fetch(Generic[R]):
    """Send a request and let its body flow into a sink → what the sink says at its end."""

    call: Call[None]
    sink: Callable[[httpx.Response], Sink[R]]


@dataclass(frozen=True, slots=True)
class Listen:
    """Open a stream of server-sent events, instead of the one that is open → httpx.Response.

    `look` is called after each sign of life on it and may raise.
    """

    call: Call[None]
    headers: dict[str, str]
    timeout: httpx.Timeout
    look: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Hear:
    """The next event of the open stream → httpx_sse.ServerSentEvent, None at its end."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait → None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Know:
    """What the client knows → Setup."""


@dataclass(slots=True)
class Setup:
    """A client's server, key and patience."""

    where: access.Access
    policy: retry.Policy
    met: bool = False  # the server has answered once


@dataclass(frozen=True, slots=True)
class Item(Generic[T_co]):
    """A value for whoever iterates → None."""

    value: T_co


class Sink(Protocol[T_co]):
    """Where a body flows to, chunk by chunk."""

    def write(self, chunk: bytes) -> None:
        """Take a chunk."""

    def finish(self) -> T_co:
        """All has come. May raise when it is not what it should be."""

    def drop(self) -> None:
        """No more comes: leave nothing. Harmless after `finish`."""


Effect: TypeAlias = "Ask[Any] | Fetch[Any] | Listen | Hear | Sleep | Know"
#: A procedure that ends with a value.
Steps: TypeAlias = Generator[Effect, Any, R]
#: A procedure that gives values one by one.
Values: TypeAlias = Generator[Effect | Item[T], Any, None]


class Play(Generic[T, R]):
    """A procedure under way. The client takes `next()`, does it, and sets `answer` or `failure`."""

    def __init__(self, steps: Generator[Effect | Item[T], Any, R] | Steps[R]) -> None:
        """Nothing is done yet."""
        self._steps: Generator[Any, Any, R] = steps
        self.answer: Any = None
        self.failure: Exception | None = None
        self.result: R  # once `next` has given None

    def next(self) -> Effect | Item[T] | None:
        """What is wanted next; None at the end. Raises what the procedure raises."""
        answer, failure = self.answer, self.failure
        self.answer = self.failure = None
        wanted: Effect | Item[T]
        try:
            wanted = self._steps.throw(failure) if failure else self._steps.send(answer)
        except StopIteration as done:
            self.result = done.value
            return None
        return wanted


def setup() -> Steps[Setup]:
    """What the client knows."""
    known: Setup = yield Know()
    return known


def ask(call: Call[T]) -> Steps[T]:
    """A request's answer, read; sent again when that helps and cannot harm."""
    response = yield from patiently(Ask(call), call.repeatable)
    return call.parse(response)


def endure(call: Call[T], deadline: float | None = None) -> Steps[T]:
    """The same as a part of something long, which outlives a restart of the server."""
    timeout = None if deadline is None else retry.timeout_until(deadline)
    send = Ask(call, timeout=timeout)
    response = yield from patiently(send, call.repeatable, deadline, enduring=True)
    return call.parse(response)


def fetch(call: Call[None], sink: Callable[[httpx.Response], Sink[R]]) -> Steps[R]:
    """A body in a fresh sink, from its beginning each time."""
    done: R = yield from patiently(Fetch(call, sink), call.repeatable)
    return done


def patiently(
    effect: Effect, repeatable: bool, deadline: float | None = None, *, enduring: bool = False
) -> Steps[Any]:
    """What comes of an effect that may fail, after as many attempts as the policy allows."""
    known = yield from setup()
    attempt, since = 1, time.monotonic()
    while True:
        try:
            done = yield effect
            known.met = True
            return done
        except Exception as failed:
            trouble = retry.trouble(failed, known.where)
            if trouble is None:
                raise
            known.met |= isinstance(trouble.error, errors.ApiError)
            again = repeatable or trouble.unsent
            delay = known.policy.delay(attempt, trouble.retry_after)
            lasted = time.monotonic() - since if enduring else None
            over = known.policy.is_over(attempt, met=known.met, lasted=lasted)
            if deadline is not None and known.met:  # who says for how long is taken at his word
                over = retry.is_past(deadline, after=delay or 0.0)
            if not again or delay is None or over:
                raise trouble.error from failed
            if known.policy.on_wait is not None:
                known.policy.on_wait(delay, trouble.error)
            if not trouble.unsent:
                effect = _after_all(effect)
        yield Sleep(delay)
        attempt += 1


def _after_all(effect: Effect) -> Effect:
    """The next attempt, once one may have arrived: a deletion that finds nothing is done."""
    if not isinstance(effect, Ask) or not effect.call.removes:
        return effect
    call = replace(effect.call, answers=effect.call.answers | {404})
    return replace(effect, call=call)

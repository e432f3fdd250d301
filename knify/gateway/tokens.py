"""Tokens of model calls, read out of vendors' answers as they pass, whole or streamed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from knify import model

_LONGEST: Final = 1024 * 1024  # bytes of an event or answer that is read whole
_TAIL: Final = 128 * 1024  # of longer ones; all vendors tell the usage behind what was said
#: Cannot stand within a string, where quotes have backslashes.
_USAGE: Final = re.compile(r'[,{]\s{0,9}"(usage|usageMetadata)"\s{0,9}:\s{0,9}(?=\{)')
_A_TOKEN: Final = 4  # bytes of text, roughly
_AN_EVENT: Final = 32  # the same of a stream, whose frame is larger than its text


@dataclass(frozen=True, slots=True)
class Tokens(model.Record):
    """What one call or many took."""

    input: int = 0  # all that went in, the next two included
    cached: int = 0  # of it: read from the vendor's cache
    written: int = 0  # of it: written there
    output: int = 0

    @property
    def total(self) -> int:
        """What counts in `max_tokens`."""
        return self.input + self.output

    @property
    def values(self) -> tuple[int, int, int, int]:
        """In the order of the fields."""
        return self.input, self.cached, self.written, self.output


@dataclass(slots=True)
class Seen:
    """What an answer has told so far."""

    tokens: Tokens = Tokens()
    model: str | None = None  # which one answered
    is_told: bool = False  # there was a usage
    is_in_told: bool = False  # with what went in,
    is_out_told: bool = False  # and what came out: what is not told is estimated
    is_final: bool = False  # with what came last the answer is over, as far as tokens go


class Meter:
    """Reads one answer; what cannot be read, or breaks off, is estimated."""

    def __init__(self, provider: str, *, asked: int) -> None:
        """`asked`: an estimate of what the request puts in."""
        self.seen = Seen()
        self.is_stream = False  # to be set when the answer begins
        self._read = _READERS[provider]
        self._asked = asked
        self._rest = bytearray()
        self._bytes = 0
        self._is_long = False  # an event of which only the end is kept

    def feed(self, data: bytes) -> None:
        """Some bytes of the answer."""
        self._bytes += len(data)
        self._rest += data
        if self.is_stream:
            while (end := self._rest.find(b"\n")) >= 0:
                line = bytes(self._rest[:end])
                del self._rest[: end + 1]
                if self._is_long:
                    self._end_of_event(line)
                elif line.startswith(b"data:"):
                    self._event(line[5:].strip())
                self._is_long = False
        if len(self._rest) > _LONGEST:
            del self._rest[:-_TAIL]
            self._is_long = True

    def end(self) -> None:
        """The answer is whole."""
        if not self.is_stream and self._is_long:
            self._end_of_event(bytes(self._rest))
        elif not self.is_stream:
            self._event(bytes(self._rest))
        self.seen.is_final = True

    def is_known(self, *, is_whole: bool) -> bool:
        """Whether the vendor has told all that came out."""
        seen = self.seen
        return seen.is_told and (seen.is_final or is_whole) and seen.is_out_told

    def count(self, *, is_whole: bool) -> Tokens:
        """What the call took; of one that told nothing, or broke off, at least an estimate."""
        seen, found = self.seen, self.seen.tokens
        if not seen.is_in_told:
            found = found.evolve(input=max(found.input, self._asked))
        if not self.is_known(is_whole=is_whole):
            per = _AN_EVENT if self.is_stream else _A_TOKEN
            found = found.evolve(output=max(found.output, self._bytes // per))
        return found

    def _end_of_event(self, data: bytes) -> None:
        """What vendors repeat of a request may be longer than all that they say."""
        text = data.decode(errors="replace")
        for found in _USAGE.finditer(text):
            try:
                usage, _ = _DECODER.raw_decode(text, found.end())
            except (ValueError, RecursionError):
                continue
            self._read({found[1]: usage}, self.seen)

    def _event(self, data: bytes) -> None:
        if b"sage" not in data and b"model" not in data and b"finish" not in data:
            return  # usage, usageMetadata, finishReason: most events hold none
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            return
        for event in found if isinstance(found, list) else [found]:
            if isinstance(event, dict):
                self._read(event, self.seen)


def _anthropic(event: dict[str, Any], seen: Seen) -> None:
    """`message_start`, then `message_delta` with the output so far; or a whole message."""
    message = event.get("message") if event.get("type") == "message_start" else event
    if not isinstance(message, dict):
        return
    seen.model = _name(message.get("model")) or seen.model
    usage = message.get("usage")
    if not isinstance(usage, dict):
        return
    seen.is_told = True
    seen.is_final = event.get("type") != "message_start"
    kept = seen.tokens
    # Of a conversation that the vendor made shorter on the way, the sums tell the last round only.
    rounds = usage.get("iterations")
    rounds = [one for one in rounds if isinstance(one, dict)] if isinstance(rounds, list) else []

    def of(name: str) -> int:
        return max(_number(usage, name), sum(_number(one, name) for one in rounds))

    if _is_number(usage, "input_tokens") or rounds:
        seen.is_in_told |= _is_number(usage, "input_tokens")
        cached, written = of("cache_read_input_tokens"), of("cache_creation_input_tokens")
        into = of("input_tokens") + cached + written
        kept = kept.evolve(
            input=max(into, kept.input),
            cached=max(cached, kept.cached),
            written=max(written, kept.written),
        )
    out = max(kept.output, of("output_tokens"))
    seen.is_out_told |= _is_number(usage, "output_tokens")
    seen.tokens = kept.evolve(output=out)


def _openai(event: dict[str, Any], seen: Seen) -> None:
    """A response, an event that holds one, a chat completion or its last chunk."""
    found = event.get("response")
    answer = found if isinstance(found, dict) else event
    seen.model = _name(answer.get("model")) or seen.model
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return
    seen.is_told = True
    seen.is_final |= _is_last(event)
    into, out = ("input", "output") if "input_tokens" in usage else ("prompt", "completion")
    details = usage.get(f"{into}_tokens_details")
    cached = _number(details, "cached_tokens") if isinstance(details, dict) else 0
    tokens = _number(usage, f"{into}_tokens"), _number(usage, f"{out}_tokens")
    seen.is_in_told |= _is_number(usage, f"{into}_tokens")
    seen.is_out_told |= _is_number(usage, f"{out}_tokens")
    kept = seen.tokens
    total = max(tokens[0], kept.input)
    cached = max(min(cached, total), kept.cached)
    seen.tokens = Tokens(total, cached, 0, max(tokens[1], kept.output))


def _is_last(event: dict[str, Any]) -> bool:
    """Some servers tell the usage so far with every piece of a chat completion."""
    choices = event.get("choices")
    if not isinstance(choices, list) or not choices:
        return event.get("type") not in ("response.created", "response.in_progress")
    return all(isinstance(one, dict) and one.get("finish_reason") for one in choices)


def _google(event: dict[str, Any], seen: Seen) -> None:
    """Each piece may hold the usage so far; the last one holds a reason why it is the last."""
    seen.model = _name(event.get("modelVersion")) or seen.model
    candidates = event.get("candidates")
    usage = event.get("usageMetadata")
    if isinstance(usage, dict):
        seen.is_told = True
        into = _number(usage, "promptTokenCount") + _number(usage, "toolUsePromptTokenCount")
        out = _number(usage, "candidatesTokenCount") + _number(usage, "thoughtsTokenCount")
        kept = seen.tokens  # a piece may tell a part of it only
        seen.is_in_told |= _is_number(usage, "promptTokenCount")
        seen.is_out_told |= _is_number(usage, "candidatesTokenCount")
        into, out = max(into, kept.input), max(out, kept.output)
        cached = max(min(_number(usage, "cachedContentTokenCount"), into), kept.cached)
        seen.tokens = Tokens(into, cached, 0, out)
    each = candidates if isinstance(candidates, list) else []
    if each and all(isinstance(one, dict) and one.get("finishReason") for one in each):
        seen.is_final = True


def _number(usage: dict[str, Any], name: str) -> int:
    return usage[name] if _is_number(usage, name) else 0


def _is_number(usage: dict[str, Any], name: str) -> bool:
    found = usage.get(name)
    return type(found) is int and 0 <= found < 2**40


def _name(value: Any) -> str | None:
    return value[:200] if isinstance(value, str) and value else None


_DECODER: Final = json.JSONDecoder()
_READERS: Final[dict[str, Callable[[dict[str, Any], Seen], None]]] = {
    "anthropic": _anthropic,
    "google": _google,
    "openai": _openai,
}

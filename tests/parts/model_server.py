"""A stub of the models' vendors on loopback: Anthropic, Google and OpenAI, scripted by the prompt.

    with model_server.running() as models:
        ANTHROPIC_BASE_URL = models.url          # POST /v1/messages
        GOOGLE_GEMINI_BASE_URL = models.url      # POST /v1beta/models/M:streamGenerateContent
        OPENAI_BASE_URL = f"{models.url}/v1"     # POST /v1/responses, /v1/chat/completions

What it says stands in `model_script`. Faults come from the prompt (FAULT), or for whoever asks next
from `models.faults`. Each request is remembered in `models.requests`, with the key it came with.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.parts import model_openai, model_script, model_wire

#: What can go wrong: a status, or
HANG = "hang"  # no answer until the server is closed
HALF = "half"  # a stream that breaks off in its middle (an answer that is no stream: cut short)
EMPTY = "empty"  # an answer that says nothing
GARBAGE = "garbage"  # 200 and no JSON
FAULTS = ("400", "401", "403", "404", "429", "500", "503", "529", HANG, HALF, EMPTY, GARBAGE)

_MAX_BODY = 64 * 1024**2
_WIRES: dict[str, model_wire.Wire] = {
    "/v1/messages": model_wire.Anthropic(),
    "/v1/chat/completions": model_openai.Chat(),
    "/v1/responses": model_openai.Responses(),
}
_GOOGLE = model_wire.Google()


@dataclass
class Request:
    """One request, as it came, and how it was answered."""

    method: str
    path: str  # with its query
    headers: dict[str, str]  # names in lower case
    body: Any  # parsed, None if it is no JSON
    asked: model_script.Asked | None = None  # None: it did not ask a model
    status: int | None = None  # None: not answered yet, or never
    tokens: model_wire.Tokens | None = None  # of an answer that was sent whole
    is_abandoned: bool = False  # the client hung up before the end

    @property
    def key(self) -> str | None:
        """The key it came with, wherever its vendor has it."""
        bearer = self.headers.get("authorization", "").removeprefix("Bearer ")
        given = self.headers.get("x-api-key") or self.headers.get("x-goog-api-key") or bearer
        return given or None


@dataclass
class Models:
    """The running stub; what a test sets counts for requests that come later."""

    keys: set[str] | None = None  # those it lets in; None: any and none
    faults: deque[str] = field(default_factory=deque)  # the next requests end so, one each
    tokens: model_wire.Tokens | None = None  # what each answer costs; None: by its length
    pace: float = 0.0  # seconds between two pieces of a stream
    retry_after: str | None = None  # a header beside 429
    requests: list[Request] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def asked(self) -> list[Request]:
        """Those requests that asked a model."""
        return [request for request in list(self.requests) if request.asked]

    @property
    def spent(self) -> model_wire.Tokens:
        """The tokens of all answers that were sent whole."""
        told = [request.tokens for request in list(self.requests) if request.tokens]
        sums = (sum(getattr(t, name) for t in told) for name in ("into", "out", "cached"))
        return model_wire.Tokens(*sums)


@contextlib.contextmanager
def running(**settings: Any) -> Iterator[Models]:
    """A stub on a free port of loopback, in a thread of its own."""
    models = Models(**settings)
    server = _Server(models)
    server.start()
    try:
        yield models
    finally:
        server.stop()


class _Server:
    def __init__(self, models: Models, host: str = "127.0.0.1", port: int = 0) -> None:
        self._models = models
        self._place = host, port
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(30), "the stub did not start"

    def stop(self) -> None:
        with contextlib.suppress(RuntimeError):  # its loop has ended by itself
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(30)

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=_MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, *self._place, backlog=1024)
        await site.start()
        self._models.port = runner.addresses[0][1]
        self._ready.set()
        await self._over.wait()
        await runner.cleanup()

    async def _handle(self, http: web.Request) -> web.StreamResponse:
        raw = await http.read()
        headers = {name.lower(): value for name, value in http.headers.items()}
        request = Request(http.method, str(http.rel_url), headers, _json(raw))
        self._models.requests.append(request)
        wire = _GOOGLE if "/models/" in http.path else _WIRES.get(http.path)
        if http.method != "POST" or wire is None or not isinstance(request.body, dict):
            return self._other(http, request)
        if http.path.endswith((":countTokens", "/count_tokens")):
            return self._answer(request, 200, {"totalTokens": _count(request.body)})
        request.asked = wire.read(http.path, request.body)
        if self._models.keys is not None and request.key not in self._models.keys:
            return self._failed(request, wire, 401, "invalid api key")
        answer = model_script.answer(request.asked)
        fault = self._models.faults.popleft() if self._models.faults else answer.fault
        if fault and fault.isdigit():
            return self._failed(request, wire, int(fault), f"a fault of the stub: {fault}")
        try:
            return await self._say(http, request, wire, answer, fault)
        except (asyncio.CancelledError, ConnectionError):
            request.is_abandoned = True
            raise

    async def _say(
        self,
        http: web.Request,
        request: Request,
        wire: model_wire.Wire,
        answer: model_script.Answer,
        fault: str | None,
    ) -> web.StreamResponse:
        assert request.asked
        if fault == HANG:
            await self._over.wait()
        if fault == GARBAGE:
            request.status = 200
            return web.Response(text="<html>no model here</html>", content_type="text/html")
        answer = model_script.Answer() if fault == EMPTY else answer
        tokens = self._models.tokens or _tokens(request.body, answer)
        if not request.asked.stream:
            whole = json.dumps(wire.whole(request.asked, answer, tokens))
            pieces, kind = [whole[: len(whole) // 2], whole[len(whole) // 2 :]], "application/json"
        else:
            pieces, kind = list(wire.events(request.asked, answer, tokens)), "text/event-stream"
        response = web.StreamResponse(headers={"Content-Type": kind})
        request.status = 200
        await response.prepare(http)
        for piece in pieces[: len(pieces) // 2] if fault == HALF else pieces:
            await response.write(piece.encode())
            if self._models.pace:
                await asyncio.sleep(self._models.pace)
        if fault == HALF and http.transport:
            http.transport.abort()
            return response
        request.tokens = tokens
        await response.write_eof()
        return response

    def _failed(
        self, request: Request, wire: model_wire.Wire, status: int, message: str
    ) -> web.Response:
        return self._answer(request, status, wire.error(status, message))

    def _answer(self, request: Request, status: int, body: dict[str, Any]) -> web.Response:
        request.status = status
        after = self._models.retry_after if status == 429 else None
        return web.json_response(
            body, status=status, headers={"Retry-After": after} if after else None
        )

    def _other(self, http: web.Request, request: Request) -> web.Response:
        """What is no call of a model: a list of models, a look whether somebody is there."""
        if http.method == "GET" and http.path.endswith("/models"):
            return self._answer(request, 200, {"object": "list", "data": [], "models": []})
        status = 200 if http.method == "HEAD" else 404
        return self._answer(request, status, {"error": {"message": f"no {http.path} here"}})


def main(port: int) -> None:
    """Serve all who reach this machine, until the process ends: for a container of its own."""
    asyncio.run(_Server(Models(), "0.0.0.0", port)._serve())


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def _count(value: Any) -> int:
    """Tokens, roughly: four characters each."""
    return len(json.dumps(value)) // 4 + 1


def _tokens(body: dict[str, Any], answer: model_script.Answer) -> model_wire.Tokens:
    said = [answer.text, *(call.arguments for call in answer.calls)]
    into = _count(body)
    return model_wire.Tokens(into, _count(said), cached=into // 2)


if __name__ == "__main__":
    main(int(sys.argv[1]))

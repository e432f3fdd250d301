"""Git servers whose logins the operator gave: put in here, so that no sandbox holds one.

A sandbox's git is told to ask `http://127.0.0.1:8119/git/HOST/…` where a URL says `https://HOST/…`;
only git's own requests are passed on. The file has the form of git's credential store: a line
`https://USER:TOKEN@HOST[:PORT][/PATH]` each, of which for a repository the longest path counts.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h11
from aiohttp import abc

from knify import egress, errors
from knify.gateway import addresses, dial, passing
from knify.gateway import line as lines
from knify.gateway.caller import Caller
from knify.gateway.policy import Policy

_MOST: Final = 1_000  # lines of the file
_SEGMENT: Final = r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*"
_ROUTE: Final = re.compile(
    rf"/git/([a-z0-9.-]{{1,253}})/((?:{_SEGMENT}/){{1,20}})"
    r"(info/refs\?service=git-(?:upload|receive)-pack|git-upload-pack|git-receive-pack)"
)
#: What git says; all else of a sandbox might mean something to a server in between.
_PASSED: Final = frozenset(
    b"accept accept-encoding accept-language cache-control content-encoding content-type "
    b"git-protocol pragma user-agent".split()
)
_HIDDEN: Final = frozenset({b"set-cookie"})


@dataclass(frozen=True, slots=True)
class Login:
    """One line of the file."""

    host: str
    port: int
    path: str  # "" or "group/", what it is good for
    address: addresses.Address

    @property
    def target(self) -> egress.Target:
        """Where it is good for anything."""
        return egress.parse(f"https://{self.host}:{self.port}/")

    @property
    def header(self) -> str:
        """As git's server takes it."""
        return f"Basic {self.address.basic}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no answer may show."""
        return self.address.basic, self.address.password


def load(path: Path | None) -> tuple[Login, ...]:
    """The operator's logins; ConfigError names the line that is wrong, never its content."""
    if path is None:
        return ()
    try:
        rows = path.read_text().splitlines()
    except (OSError, UnicodeError) as failed:
        raise errors.ConfigError("KNIFY_GIT_CREDENTIALS_FILE cannot be read") from failed
    numbered = [(n, row.strip()) for n, row in enumerate(rows[:_MOST], 1)]
    return tuple(_login(n, row) for n, row in numbered if row and not row.startswith("#"))


def _login(n: int, row: str) -> Login:
    try:
        found = addresses.parse(row, "https")
        if not found.user or not found.password:
            raise ValueError("no login")
        path = found.path.strip("/")
        return Login(egress.name(found.host), found.port or 443, f"{path}/" if path else "", found)
    except (ValueError, errors.EgressRefused):
        why = f"line {n} is not https://USER:TOKEN@HOST[/PATH]"
        raise errors.ConfigError(f"KNIFY_GIT_CREDENTIALS_FILE: {why}") from None


def said(given: lines.Headers) -> dict[str, str]:
    """A sandbox's headers as they are sent on, without a login."""
    rows = lines.passed_on(given, frozenset())
    kept = [row for row in rows if row[0] in _PASSED]
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in kept}


class Git:
    """One for all sandboxes; made within the event loop."""

    def __init__(
        self, logins: tuple[Login, ...], dialer: dial.Dialer, tls: Any, *, push: bool
    ) -> None:
        """`push`: whether sandboxes may change repositories with these logins, too."""
        self._logins = logins
        self._dialer = dialer
        self._push = push
        self._upstream = passing.Upstream(tls, _Resolver(dialer))

    async def close(self) -> None:
        """At the end of this process."""
        await self._upstream.close()

    def hosts(self, policy: Policy) -> list[str]:
        """Those that a sandbox may reach and that there are logins for."""
        return sorted({one.host for one in self._logins if self._allows(policy, one)})

    async def serve(self, caller: Caller, line: lines.Line, request: h11.Request) -> None:
        """A request of git's, passed on with the login."""
        found = _ROUTE.fullmatch(request.target.decode("ascii", "replace"))
        method = request.method.decode("ascii", "replace")
        if found is None or method != ("GET" if "info/" in found[3] else "POST"):
            await line.answer(404, "knify: this is no request of git's\n")
            return
        host, repository, verb = found.groups()
        login = self._login(host, repository)
        why = self._refusal(caller.policy, login, verb)
        if login is None or why:
            detail = f"git {host}/{repository.rstrip('/')} was refused: {why}"
            caller.told.once("egress_refused", detail)
            await caller.told.save()
            await line.answer(403, f"knify: {detail}\n")
            return
        read = asyncio.Event()
        passing_on = self._pass_on(line, request, login, f"{repository}{verb}", read)
        await passing.watched(line, passing_on, read)

    def _login(self, host: str, repository: str) -> Login | None:
        fits = [x for x in self._logins if x.host == host and repository.startswith(x.path)]
        return max(fits, key=lambda one: len(one.path), default=None)

    def _refusal(self, policy: Policy, login: Login | None, verb: str) -> str:
        if login is None:
            return "there is no login for it"
        if not self._allows(policy, login):
            return "allowed_hosts does not name it"
        if "receive-pack" in verb and not self._push:
            return "pushing with the operator's login is not allowed (KNIFY_GIT_PUSH)"
        return ""

    async def _pass_on(
        self, line: lines.Line, request: h11.Request, login: Login, path: str, read: asyncio.Event
    ) -> None:
        headers = said(list(request.headers)) | {"authorization": login.header}
        body = _body(line, read)
        has_body = request.method == b"POST"
        if not has_body and await anext(body, None) is not None:  # no git says anything there
            raise lines.Gone
        method = request.method.decode("ascii")
        url = f"https://{login.host}:{login.port}/{path}"
        line.until(passing.SILENT_SECONDS + passing.CONNECT_SECONDS)
        try:
            ask = passing.Ask(method, url, headers, body if has_body else None)
            async with self._upstream.asked(ask) as answer:
                shown = passing.shown(answer.raw_headers, _HIDDEN, login.secrets)
                if answer.status >= 400:
                    await passing.error(line, answer, shown, login.secrets)
                else:
                    await passing.stream(line, answer, shown)
        except passing.Unreachable as why:
            await line.answer(502, f"knify: {login.host} cannot be reached: {why}\n")

    def _allows(self, policy: Policy, login: Login) -> bool:
        try:
            self._dialer.check(login.target, policy)
        except errors.EgressRefused:
            return False
        return True


class _Resolver(abc.AbstractResolver):
    """Names as the dialer knows them: the operator's own, else public addresses only."""

    def __init__(self, dialer: dial.Dialer) -> None:
        self._dialer = dialer

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[abc.ResolveResult]:
        """See aiohttp."""
        target = egress.parse(f"https://{host}:{port}/")
        return [
            abc.ResolveResult(
                hostname=host,
                host=address,
                port=there,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address, there in await self._dialer.addresses(target)
        ]

    async def close(self) -> None:
        """See aiohttp."""


async def _body(line: lines.Line, read: asyncio.Event) -> AsyncIterator[bytes]:
    async for piece in line.body():
        yield piece
    line.until(passing.SILENT_SECONDS)
    read.set()

"""What only a real server can be asked: bytes that are no request, or two, or perhaps one."""

from __future__ import annotations

import json
import re

import pytest

from tests.openapi.live import Live

#: Behind each of these stands a request for `/smuggled`, which must not be answered.
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
AMBIGUOUS: dict[str, bytes] = {
    "both lengths": b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
    "a list of lengths": b"Content-Length: 0, 44\r\n\r\n",
    "a signed length": b"Content-Length: +0\r\n\r\n",
    "a negative length": b"Content-Length: -1\r\n\r\n",
    "a length in hex": b"Content-Length: 0x0\r\n\r\n",
    "a length with an underscore": b"Content-Length: 0_0\r\n\r\n",
    "an endless length": b"Content-Length: " + b"9" * 400 + b"\r\n\r\n",
    "a folded header": b"X-A: 1\r\n " + CHUNKED + b"\r\n",
    "a space before the colon": b"Transfer-Encoding : chunked\r\n\r\n",
    "a tab in the name": b"Transfer\tEncoding: chunked\r\n\r\n",
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked twice": CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    "chunked, then not": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a bare line feed": b"X-A: 1\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a NUL": b"X-A: a\0b\r\n\r\n",
    "a bare return": b"X-A: a\rX-B: b\r\n\r\n",
    "no colon": b"nonsense\r\n\r\n",
    "an empty name": b": x\r\n\r\n",
    "an odd chunk": CHUNKED + b"\r\nxyz\r\n",
    "a negative chunk": CHUNKED + b"\r\n-1\r\n",
    "a huge chunk": CHUNKED + b"\r\n" + b"f" * 40 + b"\r\n",
    "too many headers": b"".join(b"X-%d: 1\r\n" % n for n in range(100)) + b"\r\n",
    "a long header": b"X-A: " + b"x" * 20_000 + b"\r\n\r\n",
    "an odd expectation": b"Expect: miracles\r\n\r\n",
}
LINES: dict[str, bytes] = {
    "a long path": b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "an odd version": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "an odd method": b"G{}T / HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100 + b"\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "spaces": b"GET  /  HTTP/1.1\r\nHost: x\r\n\r\n",
}


def statuses(answer: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"^HTTP/1\.[01] ([0-9]{3}) ", answer, re.MULTILINE)]


def check_envelope(answer: bytes) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"X-Request-Id: " in head, answer
    assert set(json.loads(body)) == {"error", "detail", "code"}, answer


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_nothing_behind_an_ambiguous_head_is_a_request(live: Live, name: str) -> None:
    head = b"POST /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer x\r\n"

    answer = live.raw(head + AMBIGUOUS[name] + SMUGGLED)

    assert 404 not in statuses(answer), answer  # what /smuggled would be told
    if len(statuses(answer)) > 1:  # the head was a request, its body is none
        assert statuses(answer) == [401, 400], answer
        return
    for status in statuses(answer):
        assert 400 <= status < 500 or status == 501, answer
        check_envelope(answer)


@pytest.mark.parametrize("name", LINES)
def test_what_is_no_request_gets_the_envelope_and_the_end_of_the_connection(
    live: Live, name: str
) -> None:
    answer = live.raw(LINES[name])

    assert len(statuses(answer)) <= 1, answer
    for status in statuses(answer):
        assert 400 <= status < 500 or status in (501, 505), answer
        check_envelope(answer)


def test_a_host_that_is_another_name_leads_nowhere_else(live: Live) -> None:
    for host in (b"evil.example", b"127.0.0.1:1", b"a b", b"", b"[::1", b"x\t"):
        answer = live.raw(b"GET //evil.example/ HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")

        assert b"Location:" not in answer, answer
        assert all(status in (400, 404) for status in statuses(answer)), answer


def test_the_server_still_serves(live: Live) -> None:
    answer = live.raw(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert statuses(answer) == [200]

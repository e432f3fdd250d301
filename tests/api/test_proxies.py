"""What stands in X-Forwarded-…: believed of proxies that the operator named, of nobody else."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from api import proxies

TRUSTED = proxies.Trusted((ip_network("10.1.0.0/24"), ip_network("::1/128")))


def seen(peer: str, **headers: str) -> dict[str, Any]:
    """What the application behind it finds."""
    found: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        found.update(environ)
        return []

    sent = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    plain = {"REMOTE_ADDR": peer, "wsgi.url_scheme": "http", "HTTP_HOST": "inside:8122"}
    proxies.behind(TRUSTED, application)(plain | sent, None)
    return found


def test_a_trusted_proxy_says_who_asks_how_and_under_which_name() -> None:
    environ = seen(
        "10.1.0.7",
        x_forwarded_for="203.0.113.9",
        x_forwarded_proto="https",
        x_forwarded_host="knify.example.com",
    )

    assert environ["REMOTE_ADDR"] == "203.0.113.9"
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["HTTP_HOST"] == "knify.example.com"


@pytest.mark.parametrize("peer", ["203.0.113.9", "10.1.1.7", "127.0.0.1", ""])
def test_of_anybody_else_nothing_is_believed_and_nothing_left(peer: str) -> None:
    environ = seen(
        peer,
        x_forwarded_for="198.51.100.1",
        x_forwarded_proto="https",
        x_forwarded_host="evil.example.com",
        forwarded="for=198.51.100.1",
        x_real_ip="198.51.100.1",
    )

    assert environ == {"REMOTE_ADDR": peer, "wsgi.url_scheme": "http", "HTTP_HOST": "inside:8122"}


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),  # the client invented the first
        ("198.51.100.1, 203.0.113.9, 10.1.0.3", "203.0.113.9"),  # two proxies of ours
        ("10.1.0.4", "10.1.0.4"),  # a proxy itself asks
        ("unknown, 203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, nonsense", "10.1.0.7"),
        ("2001:db8::5", "2001:db8::5"),
        ("::ffff:10.1.0.3, 203.0.113.9,", "203.0.113.9"),
        ("203.0.113.9:40123, 10.1.0.3:567", "203.0.113.9"),
        ("[2001:db8::5]:567", "2001:db8::5"),
        ("[2001:db8::5]", "2001:db8::5"),
        ("[::ffff:203.0.113.9]:567", "203.0.113.9"),
        ("203.0.113.9, [::1]:567", "203.0.113.9"),
        ("203.0.113.9:1:2", "10.1.0.7"),
        ("203.0.113.9:port", "10.1.0.7"),
        ("", "10.1.0.7"),
    ],
)
def test_the_client_is_the_last_that_is_no_proxy_of_ours(said: str, client: str) -> None:
    assert seen("10.1.0.7", x_forwarded_for=said)["REMOTE_ADDR"] == client


@pytest.mark.parametrize("host", ["a b", "x@evil.example.com", "a/b", "", "[::1", "a:99999999"])
def test_a_host_that_is_none_changes_nothing(host: str) -> None:
    assert seen("::1", x_forwarded_host=host)["HTTP_HOST"] == "inside:8122"


def test_a_proxy_may_be_a_name_which_is_looked_up_and_may_lead_nowhere() -> None:
    asked = []

    def lookup(name: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(name)
        if name == "away":
            raise OSError("no such host")
        return [(2, 1, 6, "", ("10.9.0.3", 0)), (10, 1, 6, "", ("fe80::1%eth0", 0, 0, 0))]

    trusted = proxies.Trusted(("proxy", "away"), lookup)

    assert ip_address("10.9.0.3") in trusted
    assert ip_address("10.9.0.4") not in trusted
    assert asked == ["proxy", "away"]


def test_a_proxy_stays_known_while_nobody_answers_for_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    answers: list[str | OSError] = []
    monkeypatch.setattr(proxies.time, "monotonic", lambda: now)

    def lookup(*_: Any, **__: Any) -> list[Any]:
        answer = answers.pop()
        if isinstance(answer, OSError):
            raise answer
        return [(2, 1, 6, "", (answer, 0))]

    trusted = proxies.Trusted(("proxy",), lookup)

    def knows(answer: str | OSError) -> list[str]:
        nonlocal now
        now += 10
        answers.append(answer)
        return [one for one in ("10.9.0.3", "10.9.0.4") if ip_address(one) in trusted]

    assert knows(OSError("no answer")) == []
    assert knows("10.9.0.3") == ["10.9.0.3"]
    assert knows(OSError("no answer")) == ["10.9.0.3"]
    assert knows("10.9.0.4") == ["10.9.0.4"]  # it moved: the old address is nobody's


def test_a_scheme_is_http_or_https() -> None:
    assert seen("::1", x_forwarded_proto="javascript")["wsgi.url_scheme"] == "http"
    assert seen("::1", x_forwarded_proto="http, HTTPS")["wsgi.url_scheme"] == "https"

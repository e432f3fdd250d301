"""One request, from name to answer: where it goes, whom it trusts, what it never reaches."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from knify import egress, post
from knify.core import Core
from tests.webhooks import receiver as receivers
from tests.webhooks.receiver import Receiver
from tests.webhooks.rig import Rig


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What the resolver knows."""
    known: dict[str, list[str]] = {}
    monkeypatch.setattr(egress, "system", lambda host, port: known.get(host, []))
    return known


@pytest.fixture
def certified(tmp_path: Path) -> Iterator[Receiver]:
    """A receiver behind TLS, with a certificate for hooks.example that nobody else has signed."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=hooks.example",
         "-addext", "subjectAltName=DNS:hooks.example", "-keyout", str(key),
         "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with receivers.running(context) as running:
        running.certificate = certificate
        yield running


def send(url: str, *, private: bool = True) -> post.Answer:
    with ThreadPoolExecutor(1) as resolver:
        return asyncio.run(post.send(url, {}, b"{}", private=private, resolver=resolver))


def test_the_connection_goes_to_the_address_that_was_checked_under_the_name_of_the_url(
    receiver: Receiver, names: dict[str, list[str]]
) -> None:
    names["hooks.example"] = ["127.0.0.1"]

    answer = send(f"http://hooks.example:{receiver.port}/a?b=c")

    assert answer.code == 200
    assert receiver.got[0].path == "/a?b=c"
    assert receiver.got[0].headers["host"] == f"hooks.example:{receiver.port}"


def test_the_next_address_of_a_name_is_tried_when_nobody_listens_at_the_first(
    receiver: Receiver, names: dict[str, list[str]]
) -> None:
    names["hooks.example"] = ["127.0.0.2", "127.0.0.1"]

    assert send(f"http://hooks.example:{receiver.port}/").code == 200


def test_a_certificate_must_be_for_the_urls_host_and_of_a_known_authority(
    certified: Receiver, names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    names |= {"hooks.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]}
    unknown = send(f"https://hooks.example:{certified.port}/")
    trusting = ssl.create_default_context(cafile=str(certified.certificate))
    monkeypatch.setattr(post, "_tls", lambda: trusting)

    known = send(f"https://hooks.example:{certified.port}/")
    wrong = send(f"https://other.example:{certified.port}/")

    assert unknown.error is not None
    assert "certificate verify failed" in unknown.error
    assert known.code == 200
    assert wrong.error is not None
    assert "certificate verify failed" in wrong.error
    assert len(certified.got) == 1


def test_a_name_that_later_leads_inside_is_refused_at_the_attempt(
    core: Core, receiver: Receiver, names: dict[str, list[str]], rig: Rig
) -> None:
    strict = replace(core, settings=replace(core.settings, webhook_allow_private=False))
    rig.core = strict
    names["hooks.example"] = ["8.8.8.8"]
    hook = rig.hook(f"http://hooks.example:{receiver.port}/", ["job.created"])
    names["hooks.example"] = ["127.0.0.1"]
    rig.deliverer()

    rig.job()
    found = rig.until(lambda: [d for d in rig.deliveries(hook) if d.error])[0]

    assert found.error == "the url leads to 127.0.0.1, which is not a public address"
    assert found.status == "pending"
    assert receiver.got == []


def test_redirects_and_proxies_lead_nowhere(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.script = [307]
    receiver.answer_headers = {"Location": receiver.url}
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert send(receiver.url).code == 307
    assert len(receiver.got) == 1


def test_a_name_without_an_address_is_an_error_with_words(names: dict[str, list[str]]) -> None:
    assert send("http://nowhere.example/").error == "nowhere.example has no address"


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://[::1]/", "http://localhost/"])
def test_nothing_inside_is_reached_unless_the_operator_allows_it(url: str) -> None:
    answer = send(url, private=False)

    assert answer.code is None
    assert (answer.error or "").startswith("the url")

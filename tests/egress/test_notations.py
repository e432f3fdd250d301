"""Addresses of this machine and its networks, in every notation that somebody tried somewhere."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import time
from pathlib import Path

import pytest

from knify import egress, errors, machine

#: As /proc/net has them.
ROUTES = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 8.8.4.0/24 2 0 2
        |-- 8.8.4.0
           /24 link UNICAST
        |-- 8.8.4.4
           /32 host LOCAL
        |-- 8.8.4.255
           /32 link BROADCAST
"""
INTERFACES = "26000000000000000000000000000007 02 40 00 80     eth0\n"

INTERNAL = [
    # Loopback.
    "http://127.0.0.1/",
    "http://127.0.0.1:8122/",
    "http://127.1/",
    "http://127.0.1/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://0177.0.0.01/",
    "http://127.000.000.001/",
    "http://127.0.0.1./",
    "http://127.127.127.127/",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[0000:0000:0000:0000:0000:0000:0000:0001]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:7f00:1::]/",
    "http://[2001:0:808:808:0:0:80ff:fffe]/",
    "http://[::1%25lo]/",
    "http://[fe80::1%25eth0]/",
    "http://localhost/",
    "http://LOCALHOST/",
    "http://localhost./",
    "http://a.localhost/",
    "http://redis:6379/",
    "http://printer.local/",
    "http://metadata.google.internal/",
    # Full-width and circled digits, a full-width dot, an ideographic one.
    "http://１２７.０.０.１/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127．0．0．1/",
    "http://127。0。0。1/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
    # This network, and none.
    "http://0.0.0.0/",
    "http://0/",
    "http://[::]/",
    "http://255.255.255.255/",
    # Private networks.
    "http://10.0.0.1/",
    "http://10.1/",
    "http://0xa000001/",
    "http://012.0.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.0.1/",
    "http://100.64.0.1/",
    "http://100.100.100.200/",
    "http://192.0.0.192/",
    "http://198.18.0.1/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fec0::1]/",
    "http://[fe80::1]/",
    "http://[::ffff:10.0.0.1]/",
    # Metadata of clouds.
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://168.63.129.16/",
    # Groups, documentation, reserved.
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://192.0.2.1/",
    "http://192.88.99.1/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://[3fff::1]/",
    "http://192.31.196.1/",
    "http://192.175.48.1/",
    "http://[2001:4:112::1]/",
    "http://[2620:4f:8000::1]/",
    "http://[100::1]/",
]
MISLEADING = [
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1@example.com/",
    "http://user:password@example.com/",
    "http://@example.com/",
    "http://example.com\\@127.0.0.1/",
    "http://example.com:0/",
    "http://example.com:/",
    "http://example.com:65536/",
    "http://example.com:x/",
    "http://exa mple.com/",
    "http://example.com/\r\nHost: internal",
    "http://example.com\t/",
    " http://example.com/",
    "http://example.com/\x00",
    "http:///path",
    "http://",
    "http://.",
    "http://..",
    "http://a..b/",
    "http://-a.example/",
    "http://ex%61mple.com/",
    "http://%31%32%37.0.0.1/",
    "http://1.2.3.4.5/",
    "http://1.2.3.0x4/",
    "http://256.0.0.1/",
    "http://[1.2.3.4]/",
    "http://[::1/",
    "http://[v1.fe80]/",
    "//example.com/",
    "example.com",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "javascript:alert(1)",
    "unix:///run/podman.sock",
    "http+unix://%2Frun%2Fpodman.sock/",
    "http://" + "a" * 64 + ".example/",
    "http://example.com/" + "a" * 2048,
    "http://\ud800.example/",
    "",
]


def refused(url: str) -> bool:
    try:
        egress.resolve(egress.parse(url), lookup=_never)
    except errors.EgressRefused:
        return True
    return False


def _never(host: str, port: int) -> list[str]:
    raise AssertionError(f"{host} was looked up")


def test_there_are_many_notations() -> None:
    assert len(set(INTERNAL)) == len(INTERNAL) >= 40


@pytest.mark.parametrize("url", INTERNAL)
def test_an_internal_address_is_refused_in_every_notation(url: str) -> None:
    assert refused(url)


@pytest.mark.parametrize("url", MISLEADING)
def test_a_url_that_readers_could_understand_differently_is_refused(url: str) -> None:
    assert refused(url)


@pytest.mark.parametrize(
    ("url", "host", "port", "request_url"),
    [
        ("https://example.com", "example.com", 443, "https://example.com/"),
        ("https://EXAMPLE.com./a?b=c#d", "example.com", 443, "https://example.com/a?b=c"),
        ("http://8.8.8.8:8080/x", "8.8.8.8", 8080, "http://8.8.8.8:8080/x"),
        ("https://[2606:4700::1111]/", "2606:4700::1111", 443, "https://[2606:4700::1111]/"),
        (
            "https://bücher.example/ä?ö=ü",
            "xn--bcher-kva.example",
            443,
            "https://xn--bcher-kva.example/%C3%A4?%C3%B6=%C3%BC",
        ),
        ("https://my_host.example/", "my_host.example", 443, "https://my_host.example/"),
    ],
)
def test_a_public_target_is_read_as_everybody_reads_it(
    url: str, host: str, port: int, request_url: str
) -> None:
    target = egress.parse(url)

    assert (target.host, target.port, target.url) == (host, port, request_url)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ],
)
def test_a_public_address_passes(address: str) -> None:
    egress.check(ipaddress.ip_address(address))


def test_a_name_is_refused_unless_each_of_its_addresses_is_public() -> None:
    target = egress.parse("https://hooks.example/")

    found = egress.resolve(target, lookup=lambda host, port: ["8.8.8.8", "2606:4700::1", "8.8.8.8"])
    assert [str(address) for address in found] == ["8.8.8.8", "2606:4700::1"]
    for bad in ("10.0.0.1", "::1", "fe80::1%eth0", "::ffff:127.0.0.1", "169.254.169.254"):
        with pytest.raises(errors.EgressRefused, match="not a public address"):
            egress.resolve(target, lookup=lambda host, port, bad=bad: ["8.8.8.8", bad])  # type: ignore[misc]


def test_a_name_without_address_and_a_resolver_that_hangs_are_told_apart_from_refusals() -> None:
    target = egress.parse("https://hooks.example/")

    with pytest.raises(errors.NameUnknown):
        egress.resolve(target, lookup=lambda host, port: [])
    with pytest.raises(errors.NameUnknown, match="in time"):
        egress.resolve(target, lookup=lambda host, port: time.sleep(0.5) or [], seconds=0.05)


def test_the_operator_may_allow_private_addresses_but_no_groups() -> None:
    for url in ("http://127.0.0.1/", "http://10.0.0.1/", "http://[::1]/"):
        assert egress.resolve(egress.parse(url), private=True)
    for url in ("http://0.0.0.0/", "http://224.0.0.1/", "http://[ff02::1]/", "http://127.1/"):
        with pytest.raises(errors.EgressRefused):
            egress.resolve(egress.parse(url), private=True)


def test_a_public_address_of_this_very_machine_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fib_trie").write_text(ROUTES)
    (tmp_path / "if_inet6").write_text(INTERFACES)
    monkeypatch.setattr(egress, "_own", machine.Own((tmp_path / "none", tmp_path)))

    for own in ("8.8.4.4", "[2600::7]", "[::ffff:8.8.4.4]", "[64:ff9b::8.8.4.4]"):
        with pytest.raises(errors.EgressRefused, match="of this machine"):
            egress.resolve(egress.parse(f"http://{own}/"))
    with pytest.raises(errors.EgressRefused, match="of this machine"):
        egress.resolve(egress.parse("http://me.example.com/"), lookup=lambda *_: ["8.8.4.4"])
    for other in ("8.8.4.0", "8.8.4.255", "8.8.4.5", "[2600::8]"):  # its network, its neighbours
        assert egress.resolve(egress.parse(f"http://{other}/"))
    assert egress.resolve(egress.parse("http://8.8.4.4/"), private=True)


def test_this_machines_addresses_are_read_from_its_kernel() -> None:
    mine = ipaddress.ip_address("127.0.0.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there, contextlib.suppress(OSError):
        there.connect(("198.51.100.1", 9))  # nothing is sent: only the way is looked up
        mine = ipaddress.ip_address(there.getsockname()[0])

    assert machine.Own().has(mine)
    assert machine.Own().has(ipaddress.ip_address("127.0.0.1"))
    assert not machine.Own().has(ipaddress.ip_address("8.8.8.8"))

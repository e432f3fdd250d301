"""Where Redis is, as an operator writes it; and the same for kombu."""

from __future__ import annotations

import ssl

import pytest
from redis import sentinel

from knify import errors, settings
from knify.store import places

URL = "redis+sentinel://user:p%40ss@one,two:26380/main/2?sentinel_password=s"


def test_a_sentinels_address_names_hosts_primary_and_database() -> None:
    found = places.watched(URL)

    assert found is not None
    assert found.sentinels == (("one", 26379), ("two", 26380))
    assert (found.name, found.is_secure) == ("main", False)
    assert found.options == {"db": 2, "username": "user", "password": "p@ss"}
    assert found.login == {"password": "s"}
    assert "p@ss" not in repr(found)


def test_with_tls_sentinels_and_redis_are_both_verified() -> None:
    url = "rediss+sentinel://one/main?ssl_ca_certs=/ca.pem"

    options, broker = places.options(url), places.broker(url)

    assert options["connection_class"] is sentinel.SentinelManagedSSLConnection
    assert options["ssl_ca_certs"] == "/ca.pem"
    found = places.watched(url)
    assert found is not None
    assert found.login == {"ssl": True, "ssl_ca_certs": "/ca.pem"}
    assert broker.transport["sentinel_kwargs"]["ssl"] is True
    assert broker.tls is not None
    assert broker.tls["ssl_cert_reqs"] is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("redis://:a@h:1/3", "redis://:a@h:1/3"),
        ("unix:///run/r.sock?db=1", "redis+socket:///run/r.sock?db=1"),
        ("rediss://h:1/3?ssl_ca_certs=/ca.pem", "rediss://h:1/3"),
        (URL, "sentinel://user:p%40ss@one:26379/2;sentinel://user:p%40ss@two:26380/2"),
        ("redis+sentinel://[::1]:7/main", "sentinel://[::1]:7/0"),
    ],
)
def test_kombu_is_told_the_same_place(url: str, broker: str) -> None:
    assert places.broker(url).url == broker


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://h", "must begin with"),
        ("redis+sentinel://h", "NAME"),
        ("redis+sentinel:///main", "NAME"),
        ("redis+sentinel://h:x/main", "no host"),
        ("redis+sentinel://h/main/x", "NAME"),
        ("redis+sentinel://h/main?ssl=0", "unknown option ssl"),
    ],
)
def test_what_is_no_place_stops_the_start_and_says_why(url: str, word: str) -> None:
    with pytest.raises(errors.ConfigError, match=word) as wrong:
        places.check(url)

    assert "KNIFY_REDIS_URL" in wrong.value.message


def test_a_password_of_its_own_goes_into_a_sentinels_address_too() -> None:
    environ = {"KNIFY_REDIS_URL": "redis+sentinel://a:1,b:2/main", "KNIFY_REDIS_PASSWORD": "x y"}

    found = places.watched(settings.load(environ).redis)

    assert found is not None
    assert (found.options["password"], len(found.sentinels)) == ("x y", 2)

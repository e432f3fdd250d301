"""What the package offers: the same twice, with words, and without the server's weight."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import knify.client
from knify.client import AsyncClient, Client, errors

METHODS = {name for name in vars(Client) if not name.startswith("_")} - {"close", "run", "each"}


def test_both_clients_offer_the_same_methods() -> None:
    other = {name for name in vars(AsyncClient) if not name.startswith("_")}

    assert other - {"aclose", "run", "each"} == METHODS


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_has_words_and_the_same_arguments_in_both(name: str) -> None:
    one, other = getattr(Client, name), getattr(AsyncClient, name)

    assert one.__doc__ == other.__doc__ and one.__doc__
    assert inspect.signature(one) == inspect.signature(other)
    assert next(iter(inspect.signature(one).parameters)) == "self"


def test_importing_it_brings_nothing_of_the_server() -> None:
    code = (
        "import sys, knify.client\n"
        "heavy = {'flask', 'celery', 'boto3', 'botocore', 'podman', 'redis', 'gevent',\n"
        "         'marshmallow', 'environs', 'structlog', 'pyrage', 'api', 'workers'}\n"
        "ours = {m for m in sys.modules if m.startswith('knify.')}\n"
        "ours -= {m for m in ours if m.startswith('knify.client')} | {'knify.errors'}\n"
        "print(sorted(heavy & set(sys.modules)), sorted(ours))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[] []\n"


def test_every_exception_can_be_imported_from_the_package() -> None:
    there = {n for n, kind in vars(errors).items() if isinstance(kind, type) and n != "KnifyError"}

    assert there <= set(knify.client.__all__)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, errors.BadRequest), (404, errors.NotFound), (429, errors.RateLimited), (418, None)],
)
def test_a_refusal_has_a_class_and_says_who_was_asked(
    status: int, kind: type[errors.ApiError] | None
) -> None:
    refused = errors.kind(status)(status, "CODE", "no", request_id="req-1")

    assert type(refused) is (kind or errors.ApiError)
    assert str(refused) == f"no ({status} CODE, request req-1)"
    assert refused.message == "no"

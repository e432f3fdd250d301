"""Secrets that the server keeps for jobs."""

from __future__ import annotations

from knify.client import answers, records
from knify.client.calls import base
from knify.client.calls.base import Call


def set_secret(name: str, value: str) -> Call[records.Secret]:
    """Keep a value, instead of the one before, for jobs that start from now on."""
    path = base.path("secrets", name)
    return Call("PUT", path, answers.one(records.Secret), body={"value": value})


def list_secrets() -> Call[list[records.Secret]]:
    """All secrets by name; their values are in no answer."""
    return base.get("/secrets", answers.many(records.Secret, "secrets"))


def secret(name: str) -> Call[records.Secret]:
    """One secret, without its value."""
    return base.get(base.path("secrets", name), answers.one(records.Secret))


def delete_secret(name: str) -> Call[None]:
    """It is gone; jobs that name it and have not started fail."""
    return base.delete(base.path("secrets", name), base.nothing)
